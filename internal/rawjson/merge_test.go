package rawjson

import (
	"bytes"
	"encoding/json"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

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

// A patch was encoded anew on every level that it lies below, so that few bytes nested as deep as they may be kept a node busy
// for as long as many.
func TestMergeCostsItsSize(t *testing.T) {
	nested := func(depth int) []byte {
		return []byte(strings.Repeat(`{"a":`, depth) + "[" + strings.Repeat("1,", 100_000) + "1]" + strings.Repeat("}", depth))
	}
	cost := func(doc []byte) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if got, err := Merge(doc, doc); err != nil || !bytes.Equal(got, doc) {
			t.Fatalf("a document patched by itself is %.100s, %v", got, err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	flat, deep := cost(nested(1)), cost(nested(63))
	if deep > 2*flat {
		t.Errorf("63 levels deep it takes %d bytes, and %d on one level", deep, flat)
	}
}

// What is not JSON is no patch and cannot be patched, whatever a caller has missed.
func TestMergeOfNonsense(t *testing.T) {
	for _, doc := range hostile {
		if json.Valid([]byte(doc)) || Blank([]byte(doc)) {
			continue
		}
		if got, err := Merge([]byte(`{}`), []byte(doc)); err == nil {
			t.Errorf("the patch %.40q makes %.40q", doc, got)
		}
		if got, err := Merge([]byte(doc), []byte(`{"a":1}`)); err == nil {
			t.Errorf("%.40q becomes %.40q", doc, got)
		}
	}
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
