package id

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// An ID reads exactly strings, integers and null, integers as their exact digits, and whatever it reads can be checked.
func FuzzUnmarshalJSON(f *testing.F) {
	for _, s := range []string{
		`"7"`, "7", "0", "-0", "-1", "1234567890123456789", strings.Repeat("9", 400), "1.0", "1e3", "1E3", "1e999", "01", "+1", "null", " null ", "nul", "true", "false", "{}", "[]", `["7"]`, `{"id":7}`,
		`""`, `" "`, `"`, `"\`, `"\u5f20"`, `"\u0000"`, `"\ud800"`, `"\udc00x"`, `"e\u0301"`, "\"\xff\"", "\"\xed\xa0\x80\"", "\"\x00\"", `"undefined"`, `"null"`, `"<script>"`, `"` + strings.Repeat("x", 65) + `"`, "7 8", "", "\ufeff7", "NaN", "-",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		got := ID("as it was")
		err := json.Unmarshal(doc, &got)
		text, good := reference(doc)
		if (err == nil) != good || good && string(got) != text {
			t.Fatalf("%.200q reads as %q, %v; want %q, %v", doc, got, err, text, good)
		}
		if !good {
			return
		}
		if why := Check(string(got)); why != nil && len(text) > 12 && strings.Contains(why.Error(), text) {
			t.Errorf("the error repeats what was sent: %v", why)
		}
		if out, err := json.Marshal(got); err != nil || Check(string(got)) == nil && json.Unmarshal(out, &got) == nil && string(got) != text {
			t.Errorf("%q does not survive being written and read: %s, %v", text, out, err)
		}
	})
}

// reference reads an id the slow way.
func reference(doc []byte) (text string, good bool) {
	var v any
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	if !json.Valid(doc) || d.Decode(&v) != nil {
		return "", false
	}
	switch v := v.(type) {
	case nil:
		return "", true
	case string:
		return v, true
	case json.Number:
		return string(v), !strings.ContainsAny(string(v), ".eE")
	}
	return "", false
}
