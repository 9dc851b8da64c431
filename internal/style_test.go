package internal_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/storetest"
)

// The bounds of what a reader takes in at once.
const (
	maxFileLines     = 450
	maxFunctionLines = 60
	maxTestLines     = 80 // a test is a story or a table, and is read from top to bottom
	maxParameters    = 5
	maxSentences     = 2 // of a package comment
)

var emptyNames = []string{"util", "utils", "common", "helper", "helpers", "types", "manager", "base"}

func TestStyle(t *testing.T) {
	described := map[string]bool{} // folder -> has a package comment
	for name, source := range sources(t) {
		offences, comment := offences(name, source)
		for _, o := range offences {
			t.Error(o)
		}
		folder := filepath.Dir(name)
		described[folder] = described[folder] || comment
	}
	for folder, yes := range described {
		if !yes {
			t.Errorf("%s: the package has no comment", folder)
		}
	}
}

// sources returns the text of every Go file of the repository, by its path from the root.
func sources(t *testing.T) map[string][]byte {
	t.Helper()
	root, err := storetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") || slices.Contains([]string{"node_modules", "bin", "data", "dist"}, entry.Name())):
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		files[name], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// offences returns what is wrong with one file, a line each, and whether it holds the package's comment.
func offences(name string, source []byte) (found []string, comment bool) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return []string{err.Error()}, false
	}
	report := func(at token.Pos, format string, args ...any) {
		found = append(found, fmt.Sprintf("%s: ", fset.Position(at))+fmt.Sprintf(format, args...))
	}
	if n := fset.File(file.Pos()).LineCount(); n > maxFileLines {
		report(file.Package, "%d lines, at most %d", n, maxFileLines)
	}
	if slices.Contains(emptyNames, file.Name.Name) {
		report(file.Package, "%q says nothing about what is in the package", file.Name.Name)
	}
	if n := sentences(file.Doc); n > maxSentences {
		report(file.Package, "package comment of %d sentences, at most %d", n, maxSentences)
	}
	test := strings.HasSuffix(name, "_test.go")
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			size(fset, f, test, report)
		}
		if !test {
			documented(d, report)
		}
	}
	if test {
		honest(file, report)
	}
	return found, file.Doc != nil && (!test || strings.HasSuffix(file.Name.Name, "_test"))
}

type reporter func(at token.Pos, format string, args ...any)

var sentenceEnd = regexp.MustCompile(`[.!?](\s|$)`)

func sentences(doc *ast.CommentGroup) int {
	if doc == nil {
		return 0
	}
	return len(sentenceEnd.FindAllString(doc.Text(), -1))
}

func size(fset *token.FileSet, f *ast.FuncDecl, test bool, report reporter) {
	most := maxFunctionLines
	if test {
		most = maxTestLines
	}
	if n := fset.Position(f.End()).Line - fset.Position(f.Pos()).Line + 1; n > most {
		report(f.Pos(), "%s has %d lines, at most %d", f.Name.Name, n, most)
	}
	if n := f.Type.Params.NumFields(); n > maxParameters {
		report(f.Pos(), "%s has %d parameters, at most %d", f.Name.Name, n, maxParameters)
	}
	if f.Name.Name == "init" && f.Recv == nil {
		report(f.Pos(), "init happens behind the reader's back")
	}
}

// documented reports exported names without a comment. A comment on a group serves all in it.
func documented(d ast.Decl, report reporter) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || ast.IsExported(receiver(d))) {
			report(d.Pos(), "%s is exported and has no comment", d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
					report(s.Pos(), "%s is exported and has no comment", s.Name.Name)
				}
			case *ast.ValueSpec:
				for _, n := range s.Names {
					if n.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
						report(n.Pos(), "%s is exported and has no comment", n.Name)
					}
				}
			}
		}
	}
}

// receiver returns the name of the type that a method belongs to.
func receiver(f *ast.FuncDecl) string {
	kind := f.Recv.List[0].Type
	for {
		switch k := kind.(type) {
		case *ast.StarExpr:
			kind = k.X
		case *ast.IndexExpr:
			kind = k.X
		case *ast.IndexListExpr:
			kind = k.X
		case *ast.Ident:
			return k.Name
		default:
			return ""
		}
	}
}

// honest reports tests that skip instead of failing, and those that sleep and hope. In testing/synctest sleeping is
// how time passes, so a file that imports it may.
func honest(file *ast.File, report reporter) {
	fakeClock := slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing/synctest"` })
	ast.Inspect(file, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		on, _ := s.X.(*ast.Ident)
		switch {
		case on == nil:
		case on.Name == "time" && s.Sel.Name == "Sleep" && !fakeClock:
			report(s.Pos(), "time.Sleep in a test: wait for what is to happen")
		case slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, s.Sel.Name):
			report(s.Pos(), "%s.%s in a test: what cannot run must fail", on.Name, s.Sel.Name)
		}
		return true
	})
}

// What the style test looks for is found where it is planted.
func TestOffencesAreCaught(t *testing.T) {
	const good = "// Package p is fine.\npackage p\n\n"
	for _, c := range []struct{ name, file, source, want string }{
		{"nothing", "p.go", good + "// F does.\nfunc F() {}\n\nfunc f() {}\n\ntype t int\n\nfunc (t) F() {}\n", ""},
		{"a group", "p.go", good + "// Kinds.\nconst (\n\tA = 1\n\tB = 2\n)\n", ""},
		{"a comment beside", "p.go", good + "var (\n\tA = 1 // one\n)\n", ""},
		{"function", "p.go", good + "func F() {}\n", "F is exported"},
		{"method", "p.go", good + "// T is.\ntype T[K any] struct{}\n\nfunc (t *T[K]) M() {}\n", "M is exported"},
		{"type", "p.go", good + "type T int\n", "T is exported"},
		{"value", "p.go", good + "const (\n\ta = 1\n\tB = 2\n)\n", "B is exported"},
		{"long file", "p.go", good + strings.Repeat("\n", 450), "lines, at most 450"},
		{"long function", "p.go", good + "func f() {" + strings.Repeat("\n", 60) + "}\n", "f has 61 lines"},
		{"many parameters", "p.go", good + "func f(a, b, c, d int, e, g string) {}\n", "f has 6 parameters"},
		{"init", "p.go", good + "func init() {}\n", "init happens"},
		{"long comment", "p.go", "// Package p is. It does. It can.\npackage p\n", "of 3 sentences"},
		{"empty name", "p.go", "// Package util is.\npackage util\n", "says nothing"},
		{"sleep", "p_test.go", good + "func f() { time.Sleep(1) }\n", "time.Sleep"},
		{"sleep by a fake clock", "p_test.go", good + "import \"testing/synctest\"\n\nfunc f() { time.Sleep(1) }\n", ""},
		{"skip", "p_test.go", good + "func f(t *testing.T) { t.Skipf(\"no\") }\n", "t.Skipf"},
		{"no Go", "p.go", "package", "expected"},
	} {
		found, _ := offences(c.file, []byte(c.source))
		if got := strings.Join(found, "\n"); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: found %q, want %q", c.name, got, c.want)
		}
	}
	if _, comment := offences("p.go", []byte("package p\n")); comment {
		t.Error("a package comment where there is none")
	}
}
