package main

import (
	"strings"
	"testing"
)

// run feeds a report with events and returns it with what it printed.
func run(t *testing.T, events ...string) (*report, string) {
	t.Helper()
	var out strings.Builder
	r := newReport(&out)
	if err := r.read(strings.NewReader(strings.Join(events, "\n"))); err != nil {
		t.Fatal(err)
	}
	r.end()
	return r, out.String()
}

// A run in which all is well says what go test says: one line for each package.
func TestQuietRun(t *testing.T) {
	r, out := run(t,
		`{"Action":"start","Package":"p"}`, `{"Action":"run","Package":"p","Test":"TestA"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: all is well\n"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"--- PASS: TestA (0.00s)\n"}`, `{"Action":"pass","Package":"p","Test":"TestA"}`,
		`{"Action":"output","Package":"p","Output":"PASS\n"}`, `{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}`, `{"Action":"pass","Package":"p"}`)
	want := "ok  \tp\t0.1s\n0 hits when looking for planted secrets and tokens in all 5 lines that 1 tests said\n"
	if out != want || r.failed || len(r.leaks) > 0 {
		t.Errorf("failed %v, printed\n%s", r.failed, out)
	}
}

// What failed is told in full: a test, one that never came to its end, a package that does not build, and the go command itself.
func TestFailuresAreTold(t *testing.T) {
	for name, c := range map[string]struct {
		events []string
		want   string
	}{
		"a test": {[]string{`{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: broken\n"}`,
			`{"Action":"output","Package":"p","Test":"TestA","Output":"--- FAIL: TestA (0.00s)\n"}`, `{"Action":"fail","Package":"p","Test":"TestA"}`}, "a_test.go:7: broken\n--- FAIL: TestA"},
		"a crash": {[]string{`{"Action":"output","Package":"p","Test":"TestA","Output":"fatal error\n"}`, `{"Action":"fail","Package":"p"}`}, "fatal error\n"},
		"a build": {[]string{`{"ImportPath":"p","Action":"build-output","Output":"a.go:1: syntax error\n"}`, `{"ImportPath":"p","Action":"build-fail"}`}, "a.go:1: syntax error\n"},
	} {
		if r, out := run(t, c.events...); !r.failed || !strings.Contains(out, c.want) {
			t.Errorf("%s: failed %v, printed\n%s", name, r.failed, out)
		}
	}
	if _, out := run(t, "go: no such module"); !strings.Contains(out, "go: no such module") {
		t.Errorf("the go command's own words are lost: %s", out)
	}
}

// A secret is found whoever says it, also in pieces and in a test that passes, and is not said a second time.
func TestSecretsAreFound(t *testing.T) {
	planted, token := "pl4nt"+"ed", "eyJhbGciOiJIUzI1NiJ9"+".eyJzdWIiOiI3In0."+"c2lnbmF0dXJl"
	for name, events := range map[string][]string{
		"a passing test":   {`{"Action":"output","Package":"p","Test":"TestA","Output":"key ` + planted + `-7\n"}`, `{"Action":"pass","Package":"p","Test":"TestA"}`},
		"a failing test":   {`{"Action":"output","Package":"p","Test":"TestA","Output":"key ` + planted + `-7\n"}`, `{"Action":"fail","Package":"p","Test":"TestA"}`},
		"in pieces":        {`{"Action":"output","Package":"p","Output":"key pl4n"}`, `{"Action":"output","Package":"p","Output":"t` + `ed\n"}`},
		"without its end":  {`{"Action":"output","Package":"p","Output":"` + planted + `"}`},
		"a token":          {`{"Action":"output","Package":"p","Output":"?token=` + token + `&EIO=4\n"}`},
		"the go command":   {"go: " + planted},
		"a failing build":  {`{"ImportPath":"p","Action":"build-output","Output":"` + planted + `\n"}`},
		"the name of one":  {`{"Action":"output","Package":"p","Test":"TestA/` + token + `","Output":"=== RUN   TestA/` + token + `\n"}`},
		"a package passes": {`{"Action":"output","Package":"p","Output":"` + planted + `\n"}`, `{"Action":"pass","Package":"p"}`},
	} {
		r, out := run(t, events...)
		if len(r.leaks) != 1 {
			t.Errorf("%s: %d found", name, len(r.leaks))
		}
		if secret.MatchString(out) {
			t.Errorf("%s: said again", name)
		}
	}
}
