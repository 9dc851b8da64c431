// Command report reads what go test -json says and prints what go test says without -v. It looks at all of it for secrets that
// the tests planted, and fails if one is there.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

func main() {
	r := newReport(os.Stdout)
	if err := r.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
	line := r.end()
	if path := os.Getenv("ROLLCALL_TEST_PROOF"); path != "" {
		if err := add(path, line); err != nil {
			fmt.Fprintln(os.Stderr, "report:", err)
			os.Exit(1)
		}
	}
	if r.failed || len(r.leaks) > 0 {
		os.Exit(1)
	}
}

// add writes a line to the file that make prove makes its report from.
func add(path, line string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the proof: %w", err)
	}
	if _, err := fmt.Fprintf(f, "- `test/report`: %s\n", line); err != nil {
		return fmt.Errorf("write the proof: %w", err)
	}
	return f.Close()
}

// secret is what planted secrets have in common (test/system/locked_test.go), as they are and in base64, or a whole JWT.
var secret = regexp.MustCompile(`pl4nt` + `ed|cGw0bnRl|eyJ[\w-]+\.eyJ[\w-]+\.[\w-]{8,}`)

// event is one line of go test -json.
type event struct {
	Action, Package, Test, Output, ImportPath string
}

// source is what says something: a test, or a package when Test is "".
type source struct{ Package, Test string }

func (s source) String() string { return strings.TrimSuffix(s.Package+" "+s.Test, " ") }

// report is a run of tests, as far as it was read.
type report struct {
	out    io.Writer
	said   map[source]*strings.Builder // until it is known whether anybody wants to read it
	begun  map[source]string           // the line that has no end yet
	lines  map[source]int
	leaks  []string // where secrets were said
	looked int      // lines
	tests  int
	failed bool
}

func newReport(out io.Writer) *report {
	return &report{out: out, said: map[source]*strings.Builder{}, begun: map[source]string{}, lines: map[source]int{}}
}

func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.take(line)
		}
		if err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("read what the tests say: %w", err)
		}
	}
}

func (r *report) take(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil || e.Action == "" { // the go command itself, about what it cannot do
		r.look(source{Package: "go"}, string(line))
		r.print(string(line))
		return
	}
	from := source{e.Package, e.Test}
	switch e.Action {
	case "output":
		r.look(from, e.Output)
		r.keep(from, e.Output)
	case "build-output":
		r.look(source{Package: e.ImportPath}, e.Output)
		r.print(e.Output)
	case "build-fail":
		r.failed = true
	case "pass", "skip":
		r.over(from, e.Test == "")
	case "fail":
		r.failed = true
		r.over(from, true)
	}
}

// noise is what go test says of the course of things, and only with -v.
var noise = regexp.MustCompile(`^(=== (RUN|PAUSE|CONT|NAME) |\s*--- (PASS|SKIP): |PASS\n$)`)

func (r *report) keep(from source, text string) {
	if noise.MatchString(text) {
		return
	}
	if r.said[from] == nil {
		r.said[from] = &strings.Builder{}
	}
	r.said[from].WriteString(text)
}

// over prints what a test or a package had to say, if it is wanted. With a package that failed goes what its tests said that
// never came to an end.
func (r *report) over(from source, wanted bool) {
	if from.Test != "" {
		r.tests++
	}
	for other := range r.said {
		if from.Test == "" && other.Package == from.Package && other.Test != "" {
			r.over(other, true)
		}
	}
	if said := r.said[from]; said != nil && wanted {
		r.print(said.String())
	}
	delete(r.said, from)
}

// print writes a text without secrets, should there be any.
func (r *report) print(text string) {
	fmt.Fprint(r.out, secret.ReplaceAllString(text, "<secret>"))
}

// look searches every line for secrets, whoever began it and however often it was interrupted.
func (r *report) look(from source, text string) {
	text = r.begun[from] + text
	for {
		line, rest, ended := strings.Cut(text, "\n")
		if !ended {
			r.begun[from] = text
			return
		}
		r.looked++
		r.lines[from]++
		if secret.MatchString(line) {
			r.leaks = append(r.leaks, fmt.Sprintf("%s, line %d of what it says with -v", from, r.lines[from]))
		}
		text = rest
	}
}

// end says what became of the search for secrets and returns the line that sums it up.
func (r *report) end() string {
	for from, text := range r.begun {
		if text != "" {
			r.look(from, "\n")
		}
	}
	for _, leak := range r.leaks {
		r.print("a secret was said by " + leak + "\n")
	}
	line := fmt.Sprintf("%d hits when looking for planted secrets and tokens in all %d lines that %d tests said", len(r.leaks), r.looked, r.tests)
	fmt.Fprintln(r.out, line)
	return line
}
