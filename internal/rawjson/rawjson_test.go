package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
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

// The fifteen examples of RFC 7396, appendix A, and cases of our own below them.
func TestMerge(t *testing.T) {
	for _, c := range []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, ``},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},

		{``, `{"a":1}`, `{"a":1}`},
		{`null`, `{"a":{"b":null}}`, `{"a":{}}`},
		{`{"n":1234567890123456789,"f":1.50}`, `{"x":98765432109876543210}`, `{"f":1.50,"n":1234567890123456789,"x":98765432109876543210}`},
		{`{"s":"<b>&\u2028é"}`, `{"x":"</b>"}`, `{"s":"<b>&\u2028é","x":"</b>"}`},
		{`{"":1}`, `{"":2}`, `{"":2}`},
	} {
		got, err := Merge([]byte(c.target), []byte(c.patch))
		if err != nil || string(got) != c.want {
			t.Errorf("%s patched by %s: %s, %v, want %s", c.target, c.patch, got, err, c.want)
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

// Merge agrees with the pseudocode of RFC 7396, which works on decoded values.
func FuzzMerge(f *testing.F) {
	f.Add([]byte(`{"a":{"b":"c"}}`), []byte(`{"a":{"b":"d","c":null}}`))
	f.Add([]byte(`{"e":null}`), []byte(`{"a":1.50,"a":null}`))
	f.Add([]byte(`[1]`), []byte(`{"\ud800":{"":null}}`))
	f.Fuzz(func(t *testing.T, target, patch []byte) {
		if Check(target, 32) != nil || Check(patch, 32) != nil {
			return
		}
		got, err := Merge(target, patch)
		if err != nil {
			t.Fatalf("%q patched by %q: %v", target, patch, err)
		}
		if want := reference(decode(t, target), decode(t, patch)); !reflect.DeepEqual(decode(t, got), want) {
			t.Errorf("%q patched by %q: %q, want %v", target, patch, got, want)
		}
	})
}

func reference(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	fields, ok := target.(map[string]any)
	if !ok {
		fields = map[string]any{}
	}
	for key, change := range changes {
		if change == nil {
			delete(fields, key)
		} else {
			fields[key] = reference(fields[key], change)
		}
	}
	return fields
}

// decode keeps numbers as text. What Merge returns for null is nil, which decodes as null does.
func decode(t *testing.T, doc []byte) (v any) {
	t.Helper()
	if len(doc) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("decode %q: %v", doc, err)
	}
	return v
}
