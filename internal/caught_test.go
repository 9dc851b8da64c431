package internal_test

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// starters are the calls beside the go statement that run their last argument in a goroutine of its own, where a panic
// that nobody catches ends the process. singleflight's DoChan does so on purpose.
var starters = []string{"Go", "TryGo", "AfterFunc", "DoChan"}

// bare are the starts of goroutines that need no net, and why.
var bare = map[string]string{
	"cmd/server/main.go: go func() {":    "it waits for signals, and there is no log yet",
	"internal/crew/crew.go: c.all.Go(f)": "f is what callers of Crew.Go give, and is looked at there",
}

// A panic ends the goroutine that it happens in, not the process: what starts one goes through a rescue.Net.
func TestStyleOfGoroutines(t *testing.T) {
	folders := map[string]map[string][]byte{}
	for name, source := range sources(t) {
		folder := path.Dir(name)
		if strings.HasSuffix(name, "_test.go") || slices.Contains(testsOnly, folder) || folder == "internal/rescue" {
			continue
		}
		if strings.HasPrefix(name, "bench/") {
			continue // a module of its own, whose programs serve nobody: a panic there should be seen
		}
		if folders[folder] == nil {
			folders[folder] = map[string][]byte{}
		}
		folders[folder][name] = source
	}
	unused := maps.Clone(bare)
	for _, files := range folders {
		for _, o := range uncaught(files) {
			if delete(unused, o.start); bare[o.start] == "" {
				t.Errorf("%s: a panic in what it starts would end the process", o)
			}
		}
	}
	for start := range unused {
		t.Errorf("%s needs no exception, or is nowhere", start)
	}
}

// offender is a start of a goroutine without a net.
type offender struct {
	start string // the file and the text of the call
	line  int
}

func (o offender) String() string { return fmt.Sprintf("%s (line %d)", o.start, o.line) }

// uncaught returns the starts in the files of one package without a net. The package is needed because what is started
// may be a function with a name.
func uncaught(files map[string][]byte) []offender {
	fset := token.NewFileSet()
	var parsed []*ast.File
	named := map[string][]*ast.FuncDecl{} // by name, whatever they belong to
	for _, name := range slices.Sorted(maps.Keys(files)) {
		file, err := parser.ParseFile(fset, name, files[name], parser.SkipObjectResolution)
		if err != nil {
			return []offender{{start: err.Error()}}
		}
		parsed = append(parsed, file)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
				named[f.Name.Name] = append(named[f.Name.Name], f)
			}
		}
	}
	var found []offender
	for _, file := range parsed {
		ast.Inspect(file, func(n ast.Node) bool {
			if call, started := start(n); call != nil && !caught(started, named) {
				at := fset.Position(n.Pos())
				found = append(found, offender{at.Filename + ": " + firstLine(n), at.Line})
			}
			return true
		})
	}
	slices.SortFunc(found, func(a, b offender) int { return cmp.Or(cmp.Compare(a.start, b.start), a.line-b.line) })
	return found
}

// start returns the call in n if n starts a goroutine without a Net, and what runs in it.
func start(n ast.Node) (call *ast.CallExpr, started ast.Expr) {
	switch n := n.(type) {
	case *ast.GoStmt:
		return n.Call, n.Call.Fun
	case *ast.CallExpr:
		method, ok := n.Fun.(*ast.SelectorExpr)
		if ok && len(n.Args) > 0 && slices.Contains(starters, method.Sel.Name) && !isNet(method.X) {
			return n, n.Args[len(n.Args)-1]
		}
	}
	return nil, nil
}

// caught reports whether a panic in a function is caught, as far as its text shows.
func caught(f ast.Expr, named map[string][]*ast.FuncDecl) bool {
	switch f := f.(type) {
	case *ast.FuncLit:
		return bodyCaught(f.Body)
	case *ast.Ident:
		return allCaught(named[f.Name])
	case *ast.SelectorExpr:
		return allCaught(named[f.Sel.Name])
	}
	return false
}

func allCaught(functions []*ast.FuncDecl) bool {
	return len(functions) > 0 && !slices.ContainsFunc(functions, func(f *ast.FuncDecl) bool { return !bodyCaught(f.Body) })
}

// bodyCaught accepts a body that begins with a deferred Catch, and one that does nothing beside Try or Call.
func bodyCaught(body *ast.BlockStmt) bool {
	if len(body.List) == 0 {
		return true
	}
	if d, ok := body.List[0].(*ast.DeferStmt); ok && ofNet(d.Call, "Catch") {
		return true
	}
	does := 0
	for _, s := range body.List {
		switch s := s.(type) {
		case *ast.DeclStmt:
			continue
		case *ast.ReturnStmt:
			if !slices.ContainsFunc(s.Results, func(e ast.Expr) bool { _, is := e.(*ast.Ident); return !is }) {
				continue
			}
			if does++; len(s.Results) == 0 || !ofNet(s.Results[len(s.Results)-1], "Try", "Call") {
				return false
			}
		case *ast.ExprStmt:
			if does++; !ofNet(s.X, "Try", "Call") {
				return false
			}
		case *ast.AssignStmt:
			if does++; len(s.Rhs) != 1 || !ofNet(s.Rhs[0], "Try", "Call") {
				return false
			}
		default:
			return false
		}
	}
	return does == 1
}

// ofNet reports whether e calls one of the methods of a rescue.Net.
func ofNet(e ast.Expr, methods ...string) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	method, ok := call.Fun.(*ast.SelectorExpr)
	return ok && slices.Contains(methods, method.Sel.Name) && isNet(method.X)
}

// isNet goes by the name: a rescue.Net is called net or Net wherever it is.
func isNet(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return strings.EqualFold(e.Name, "net")
	case *ast.SelectorExpr:
		return strings.EqualFold(e.Sel.Name, "net")
	}
	return false
}

func firstLine(n ast.Node) string {
	var text bytes.Buffer
	_ = printer.Fprint(&text, token.NewFileSet(), n)
	line, _, _ := strings.Cut(text.String(), "\n")
	return line
}

// What TestStyleOfGoroutines looks for is found where it is planted.
func TestBareGoroutinesAreCaught(t *testing.T) {
	for body, bare := range map[string]bool{
		"go func() { f() }()":                                           true,
		"go func() { defer x.net.Catch(\"w\"); f() }()":                 false,
		"go func() { defer close(c); defer x.net.Catch(\"w\"); f() }()": true, // the other deferred call is outside
		"go func() { defer x.trap.Catch(\"w\"); f() }()":                true,
		"go func() { x.Net.Call(\"w\", f) }()":                          false,
		"go func() { x.Net.Call(\"w\", f); f() }()":                     true,
		"go x.bare()":                           true,
		"go x.safe(1)":                          false,
		"go x.unknown()":                        true,
		"group.Go(x.safe)":                      false,
		"group.Go(x.bare)":                      true,
		"group.Go(func() error { return f() })": true,
		"group.Go(func() error { return net.Try(\"w\", f) })":                                          false,
		"group.Go(func() error { failed[i] = net.Try(\"w\", f); return nil })":                         false,
		"group.Go(func() error { return errors.Join(net.Try(\"w\", f), f()) })":                        true,
		"flight.DoChan(k, func() (any, error) { var v int; err := net.Try(\"w\", f); return v, err })": false,
		"flight.DoChan(k, func() (any, error) { return f() })":                                         true,
		"x.net.Go(\"w\", x.bare)":                 false,
		"x.net.After(time.Second, \"w\", x.bare)": false,
		"time.AfterFunc(time.Second, x.bare)":     true,
		"context.AfterFunc(ctx, x.safe)":          false,
	} {
		found := uncaught(map[string][]byte{
			"p.go": []byte("package p\n\nfunc start() { " + body + " }\n"),
			"q.go": []byte("package p\n\nfunc (x *x) bare() { f() }\n\nfunc (x *x) safe(int) { defer x.net.Catch(\"w\"); f() }\n"),
		})
		if (len(found) == 1) != bare || len(found) > 1 {
			t.Errorf("%s: found %v, bare is %v", body, found, bare)
		}
	}
}
