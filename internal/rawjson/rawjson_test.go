package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestCheckDepth(t *testing.T) {
	nested := func(n int) string { return strings.Repeat(`{"a":[`, n) + "1" + strings.Repeat("]}", n) }
	for _, c := range []struct {
		name, doc string
		depth     int
		want      error // ErrTooDeep, errAny or nil
	}{
		{"scalar at depth 0", `1`, 0, nil},
		{"object at depth 0", `{}`, 0, ErrTooDeep},
		{"exactly as deep as allowed", nested(16), 32, nil},
		{"one deeper", "[" + nested(16) + "]", 32, ErrTooDeep},
		{"wide is not deep", "[" + strings.Repeat("[],", 1000) + "[]]", 2, nil},
		{"brackets in a string", `{"a":"[[[[\"[[[["}`, 1, nil},
		{"a string that ends in a backslash", `["\\","[["]`, 1, nil},
		{"a hundred thousand open brackets", strings.Repeat("[", 100_000), 32, ErrTooDeep},
		{"closes what it did not open", `]]]][[[[`, 1, errAny},
		{"two values", `{} {}`, 9, errAny},
		{"empty", ``, 9, errAny},
		{"cut off", `{"a":`, 9, errAny},
		{"ends in a backslash", `"\`, 9, errAny},
	} {
		err := Check([]byte(c.doc), c.depth)
		if c.want == errAny && err != nil && !errors.Is(err, ErrTooDeep) {
			continue
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

var errAny = errors.New("some error")

// A backend writes text that people typed straight into its JSON. Tabs and line feeds must not break the tree.
func TestRepair(t *testing.T) {
	for _, c := range []struct{ name, doc, want string }{
		{"tab and line feed in a string", "{\"a\":\"x\ty\r\nz\"}", `{"a":"x\u0009y\u000d\u000az"}`},
		{"white space outside strings stays", "{\n\t\"a\": 1\n}", "{\n\t\"a\": 1\n}"},
		{"an escaped quote does not end the string", "[\"a\\\"\tb\"]", `["a\"\u0009b"]`},
		{"a backslash before the quote that ends it", "[\"a\\\\\",\t\"b\"]", "[\"a\\\\\",\t\"b\"]"},
		{"NUL", "[\"\x00\"]", `["\u0000"]`},
		{"in a key", "{\"a\tb\":1}", `{"a\u0009b":1}`},
		{"nothing to do", `{"a":"\t"}`, `{"a":"\t"}`},
		{"text around it stays, digits too", "{\"n\":1234567890123456789.10,\"s\":\"é\t🙂\"}", `{"n":1234567890123456789.10,"s":"é\u0009🙂"}`},
		{"what cannot be saved is left", "{\"a\t", `{"a\u0009`},
	} {
		if got := string(Repair([]byte(c.doc))); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestBlankAndObject(t *testing.T) {
	for doc, want := range map[string]struct{ blank, object bool }{
		"": {true, false}, " \n\t": {true, false}, "null": {true, false}, " null ": {true, false},
		"{}": {false, true}, `{"a":1}`: {false, true}, "[]": {false, false}, `""`: {false, false}, "{": {false, false}, "0": {false, false},
	} {
		if blank := Blank([]byte(doc)); blank != want.blank {
			t.Errorf("%q: blank is %v", doc, blank)
		}
		if _, ok := Object([]byte(doc)); ok != want.object {
			t.Errorf("%q: object is %v", doc, ok)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{`{"a":[1]}`, `"\`, `]][[`, `"\\"`, `[[[`} {
		f.Add([]byte(s), 2)
	}
	f.Fuzz(func(t *testing.T, doc []byte, depth int) {
		if err := Check(doc, depth); err == nil && (!json.Valid(doc) || levels(t, doc) > max(depth, 0)) {
			t.Errorf("Check let %q through at depth %d", doc, depth)
		}
	})
}

// levels counts the depth of a valid document the slow way.
func levels(t *testing.T, doc []byte) int {
	t.Helper()
	level, deepest := 0, 0
	for d := json.NewDecoder(bytes.NewReader(doc)); ; {
		switch token, err := d.Token(); {
		case err != nil:
			return deepest
		case token == json.Delim('{'), token == json.Delim('['):
			level++
			deepest = max(deepest, level)
		case token == json.Delim('}'), token == json.Delim(']'):
			level--
		}
	}
}

// Repair leaves good JSON alone, byte for byte, and has nothing left to do after itself.
func FuzzRepair(f *testing.F) {
	for _, s := range []string{"{\"a\":\"x\ty\"}", `{"a":1}`, "\"\\\t\"", "\"\\", "\t\"\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		before := bytes.Clone(doc)
		once := Repair(doc)
		if !bytes.Equal(doc, before) {
			t.Errorf("Repair changed its input %q", before)
		}
		if json.Valid(doc) && !bytes.Equal(once, doc) {
			t.Errorf("Repair made %q of valid %q", once, doc)
		}
		if twice := Repair(once); !bytes.Equal(twice, once) {
			t.Errorf("Repair made %q of its own %q", twice, once)
		}
	})
}
