package rawjson

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// hostile are documents, or nearly, that parsers stumble over.
var hostile = []string{
	"", " ", "null", " null\n", "true", "0", "-0", "-", "01", "1.", ".5", "1e3", "1e999", "-1e-999", "NaN", "12345678901234567890123456789", "1 2", "{} {}", "\ufeff{}", "'x'", "/**/1",
	`""`, `"`, `"\`, `"\"`, `"\\`, `"\\"`, `"\u12`, `"\u0000"`, `"\ud800"`, `"\udc00\ud800"`, `"\ud83d\ude00"`, "\"\xff\"", "\"\xed\xa0\x80\"", "\"\x00\"", "\"\t\"", `"[{\"}]"`, "\"\u2028\"", `"<&>"`,
	"[]", "{}", "[[]]", "[,]", "[1,]", "{,}", `{"a"}`, `{"a":}`, `{"a":1,}`, `{a:1}`, `{"a":1,"a":null}`, `{"":0}`, `{"__proto__":{"x":1}}`, `{"\ud800":1}`, "{\"a\":\"\xff\"}", `{"a":"<&>"}`, "]", "}{", "]]][[[", "[}", `{"a":[}`,
	strings.Repeat("[", 70), strings.Repeat("[", 65) + strings.Repeat("]", 65), strings.Repeat(`{"a":[`, 5) + "1" + strings.Repeat("]}", 5), strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001),
}

// Check takes exactly what encoding/json takes, as long as it is not deeper than asked for.
func FuzzCheckExactly(f *testing.F) {
	for i, s := range hostile {
		f.Add([]byte(s), i%7)
		f.Add([]byte(s), 64)
	}
	f.Fuzz(func(t *testing.T, doc []byte, depth int) {
		err := Check(doc, depth)
		if want := json.Valid(doc) && levels(t, doc) <= max(depth, 0); (err == nil) != want {
			t.Errorf("Check of %.200q to depth %d: %v", doc, depth, err)
		}
	})
}

// TestCheckBuildsNothing: a document of thousands of values costs no more to check than a short one.
func TestCheckBuildsNothing(t *testing.T) {
	doc := []byte("[" + strings.Repeat(`{"a":["b",1.5,null]},`, 10_000) + "0]")
	if n := testing.AllocsPerRun(5, func() { _ = Check(doc, 64) }); n > 20 {
		t.Errorf("Check made %v things", n)
	}
}

// Object takes exactly the objects, keeps the names that encoding/json finds, and every value as it was written.
func FuzzObject(f *testing.F) {
	for _, s := range hostile {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		fields, ok := Object(doc)
		var want map[string]any
		d := json.NewDecoder(bytes.NewReader(doc))
		d.UseNumber() // how large a number is decides nothing here
		is := json.Valid(doc) && d.Decode(&want) == nil && want != nil
		if ok != is {
			t.Fatalf("Object of %.200q: %v, want %v", doc, ok, is)
		}
		if !ok {
			return
		}
		if len(fields) != len(want) {
			t.Errorf("%d fields of %.200q, want %d", len(fields), doc, len(want))
		}
		for name, value := range fields {
			if _, known := want[name]; !known || !json.Valid(value) || !bytes.Contains(doc, value) {
				t.Errorf("field %q of %.200q is %.200q", name, doc, value)
			}
		}
	})
}

// What Encode writes reads back as what it was given, and texts stand in it as they are.
func FuzzEncode(f *testing.F) {
	for _, s := range append(hostile, "<script>&amp;</script>", "\u2028\u2029", "\x1b[31m", "\r\n", "\\", "/") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		out, err := Encode(map[string]any{"text": text, "list": []string{text}})
		if err != nil {
			t.Fatalf("encode %q: %v", text, err)
		}
		var back struct {
			Text string
			List []string
		}
		if err := json.Unmarshal(out, &back); err != nil || !utf8.Valid(out) || bytes.HasSuffix(out, []byte("\n")) {
			t.Fatalf("%q became %q: %v", text, out, err)
		}
		if want := strings.ToValidUTF8(text, "\ufffd"); utf8.ValidString(text) && (back.Text != want || back.List[0] != want) {
			t.Errorf("%q became %q", text, back.Text)
		}
		if strings.Count(text, "<") != bytes.Count(out, []byte("<"))/2 {
			t.Errorf("%q is escaped: %s", text, out)
		}
		if !json.Valid([]byte(text)) {
			return
		}
		raw, err := Encode(json.RawMessage(text)) // kept but for the white space in it
		if err != nil {
			t.Fatalf("encode %q as it is: %v", text, err)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(text)); err != nil || !bytes.Equal(raw, compact.Bytes()) {
			t.Errorf("%q became %q: %v", text, raw, err)
		}
	})
}
