package storetest

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"rollcall/internal/fault"
)

// Cursors are what clients may send as a cursor that nobody gave them, for the seeds of fuzz tests.
func Cursors() []string {
	list := []string{
		"x", "!", " ", "\x00", "\xff", "=", "====", "MQ==", "null", "0", "-1", "' OR '1'='1", "張", "🙂", "%00", "\u202e", "e\u0301", strings.Repeat("A", 600), strings.Repeat("Z", 26), strings.Repeat("0", 26),
		"01ARZ3NDEKTSV4RRFFQ69G5FAV", "01arz3ndektsv4rrffq69g5fav", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "01ARZ3NDEKTSV4RRFFQ69G5FAU\n", "OIARZ3NDEKTSV4RRFFQ69G5FAV",
	}
	for _, inner := range []string{
		"", "7", "42", "a b", "\x00", "\xff", "張", "null", "[]", "{}", `{"u":""}`, `{"u":"1"}`, `{"u":"9"}`, `{"g":true,"k":5,"u":"2"}`, `{"g":true,"u":"1"}`, `{"k":1e999,"u":"1"}`, `{"k":1.5,"u":"1"}`, `{"k":"1","u":"1"}`,
		`{"k":9223372036854775807,"u":"1"}`, `{"k":-9223372036854775808,"u":"1"}`, `{"k":9223372036854775808,"u":"1"}`, `{"u":1}`, `{"u":null}`, `{"u":["1"]}`, `{"u":"\u0000"}`, `{"u":"\ud800"}`, `{"u":"🙂"}`, `{"u":"' OR 1=1 --"}`, `{"u":"%"}`,
		`{"U":"1"}`, `{"u":"1","u":""}`, `{"u":"1"} x`, `{"u":"1"`, `{"u":"` + strings.Repeat("x", 400) + `"}`, strings.Repeat("[", 400),
	} {
		list = append(list, base64.RawURLEncoding.EncodeToString([]byte(inner)), base64.StdEncoding.EncodeToString([]byte(inner)))
	}
	return list
}

// FromCursor reads a list from a cursor to its end and returns how many items it had. It fails t unless the cursor is refused
// as a fault Invalid "bad_cursor", or the list ends, has no empty page before its end, and nothing twice.
func FromCursor(t testing.TB, cursor string, page func(cursor string) (ids []string, next string, err error)) int {
	t.Helper()
	seen := map[string]bool{}
	for first := true; first || cursor != ""; first = false {
		ids, next, err := page(cursor)
		f, _ := errors.AsType[*fault.Error](err)
		switch {
		case err != nil && first && f != nil && f.Kind == fault.Invalid && f.Code == "bad_cursor" && len(ids) == 0 && next == "":
			return 0
		case err != nil:
			t.Fatalf("from cursor %.200q: %v", cursor, err)
		case len(ids) == 0 && next != "":
			t.Fatalf("from cursor %.200q: an empty page that is not the last", cursor)
		}
		for _, id := range ids {
			if seen[id] {
				t.Fatalf("from cursor %.200q: %s comes twice", cursor, id)
			}
			seen[id] = true
		}
		cursor = next
	}
	return len(seen)
}
