package rawjson

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestDiff(t *testing.T) {
	for _, c := range []struct{ before, after, want string }{
		{`{"a":1}`, `{"a":2}`, `{"a":2}`},
		{`{"a":1,"b":2}`, `{"b":2}`, `{"a":null}`},
		{`{"a":{"b":1,"c":[1,null]}}`, `{"a":{"b":1,"c":[2,null,{"x":null}]}}`, `{"a":{"c":[2,null,{"x":null}]}}`},
		{`{"a":1,"b":2}`, ` { "b" : 2, "a":1 } `, `{}`},
		{``, `{"a":{"b":1}}`, `{"a":{"b":1}}`},
		{``, `{}`, `{}`},
		{`[1]`, `{"a":{}}`, `{"a":{}}`},
		{`{"a":1}`, `[1]`, `[1]`},
		{`{"a":1}`, `{"a":{}}`, `{"a":{}}`},
		{`{"a":{"x":1}}`, `{"a":{}}`, `{"a":{"x":null}}`},
		{`{"a":null,"b":1}`, `{"a":null,"b":2}`, `{"b":2}`},
		{`{"a":null}`, `{"a":{}}`, `{"a":{}}`},
		{`{"n":1.50}`, `{"n":1.5}`, `{"n":1.5}`},
		{`"1"`, `1`, `1`},
	} {
		if got, ok := Diff([]byte(c.before), []byte(c.after)); !ok || string(got) != c.want {
			t.Errorf("from %s to %s: %s, %v, want %s", c.before, c.after, got, ok, c.want)
		}
	}
	for _, c := range [][2]string{{`{"a":1}`, `{"a":null}`}, {`{}`, `{"a":{"b":null}}`}, {`{"a":[1]}`, `{"a":{"b":{"c":null}}}`}, {`1`, `null`}} {
		if got, ok := Diff([]byte(c[0]), []byte(c[1])); ok {
			t.Errorf("from %s to %s is said to be %s", c[0], c[1], got)
		}
	}
}

// Whoever applies a diff has what it was made for, and is told so shortly if nothing has changed.
func FuzzDiff(f *testing.F) {
	f.Add([]byte(`{"a":{"b":"c","d":[null]}}`), []byte(`{"a":{"b":"d","c":{}}}`))
	f.Add([]byte(`[1]`), []byte(`{"a":{},"a":{"":0}}`))
	f.Add([]byte(`{"a":null}`), []byte(`{"a":{"a":null}}`))
	f.Fuzz(func(t *testing.T, before, after []byte) {
		if Check(before, 32) != nil || Check(after, 32) != nil {
			return
		}
		patch, ok := Diff(before, after)
		if !ok {
			if !hasNull(decode(t, after)) {
				t.Errorf("from %q to %q cannot be said", before, after)
			}
			return
		}
		if !json.Valid(patch) {
			t.Fatalf("from %q to %q: %q is no JSON", before, after, patch)
		}
		got, err := Merge(before, patch)
		if err != nil {
			t.Fatalf("%q patched by %q: %v", before, patch, err)
		}
		if want := decode(t, after); !reflect.DeepEqual(decode(t, got), want) {
			t.Errorf("from %q to %q: %q makes %q", before, after, patch, got)
		}
		if patch, ok = Diff(after, after); !ok {
			t.Fatalf("from %q to itself cannot be said", after)
		}
		if _, is := Object(after); is && string(patch) != "{}" {
			t.Errorf("from %q to itself: %q", after, patch)
		}
	})
}

// hasNull reports whether there is a null that is not within a list.
func hasNull(v any) bool {
	fields, ok := v.(map[string]any)
	for _, f := range fields {
		ok = hasNull(f)
		if ok {
			return true
		}
	}
	return v == nil && !ok
}
