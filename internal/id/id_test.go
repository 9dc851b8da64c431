package id

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name, id string
		good     bool
	}{
		{"one digit", "7", true},
		{"19 digits", "1234567890123456789", true},
		{"every sign", "a.b_c:d@e-f", true},
		{"Chinese", "张三", true},
		{"composed accent", "Jos\u00e9", true},
		{"decomposed accent", "Jose\u0301", false},
		{"ohm sign, in NFC an omega", "\u2126", false},
		{"Arabic digits", "٧٣", true},
		{"64 letters", strings.Repeat("x", 64), true},
		{"65 letters", strings.Repeat("x", 65), false},
		{"64 characters of 4 bytes", strings.Repeat("𝒳", 64), true},
		{"65 characters of 4 bytes", strings.Repeat("𝒳", 65), false},
		{"empty", "", false},
		{"space", "a b", false},
		{"line feed", "a\n", false},
		{"NUL", "a\x00", false},
		{"zero-width space", "a\u200b", false},
		{"zero-width joiner", "a\u200d", false},
		{"byte order mark", "\ufeffa", false},
		{"right-to-left override", "a\u202e", false},
		{"emoji", "🙂", false},
		{"slash", "a/b", false},
		{"quote", "a'b", false},
		{"plus", "1e+3", false},
		{"half a character", "a\xe5", false},
		{"replacement character", "a\ufffd", false},
	} {
		if err := Check(c.id); (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// The error goes to whoever sent the id and into logs: it must not carry the text that was refused.
func TestCheckDoesNotRepeatItsInput(t *testing.T) {
	const bad = "<script>zzz</script>"
	if err := Check(bad); err == nil || strings.Contains(err.Error(), "zzz") {
		t.Errorf("error of Check: %v", err)
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{"7", "Jose\u0301", "a\x00", "\xff", "张三"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if Check(s) != nil {
			return
		}
		if n := utf8.RuneCountInString(s); n < 1 || n > MaxLength || !norm.NFC.IsNormalString(s) || strings.ContainsAny(s, " \x00/\"'<") {
			t.Errorf("Check took %q", s)
		}
	})
}

func TestUnmarshalJSON(t *testing.T) {
	for _, c := range []struct {
		json string
		want ID
		good bool
	}{
		{`"7"`, "7", true},
		{`7`, "7", true},
		{`1234567890123456789`, "1234567890123456789", true}, // as a float64 it would end in ...800
		{`98765432109876543210987654321`, "98765432109876543210987654321", true},
		{`-1`, "-1", true},
		{`1.50`, "", false}, // an id is no measure
		{`1e3`, "", false},
		{`null`, "", true},
		{`""`, "", true},
		{`"\u5f20"`, "张", true},
		{`true`, "", false},
		{`{}`, "", false},
		{`["7"]`, "", false}, // repeated parameters arrive as an array
	} {
		got := struct{ UserID ID }{UserID: "as it was"}
		err := json.Unmarshal([]byte(`{"UserID": `+c.json+` }`), &got)
		if (err == nil) != c.good || c.good && got.UserID != c.want {
			t.Errorf("%s: %q, %v", c.json, got.UserID, err)
		}
	}
}

func TestNobodyAndNoConference(t *testing.T) {
	for s, want := range map[string][2]bool{
		"": {true, true}, "undefined": {true, true}, "null": {true, true}, "0": {false, true}, "7": {false, false}, "Null": {false, false}, "00": {false, false},
	} {
		if got := [2]bool{Nobody(s), NoConference(s)}; got != want {
			t.Errorf("%q: nobody and no conference are %v, want %v", s, got, want)
		}
	}
}

// Rows are read in the order of their ids, so ids of one process must sort as they were made, also those of
// one millisecond, and never be the same in two goroutines.
func TestNewSortsAndIsUnique(t *testing.T) {
	const goroutines, each = 4, 1000
	made := make(chan []string)
	for range goroutines {
		go func() {
			ids := make([]string, each)
			for i := range ids {
				ids[i] = New()
			}
			made <- ids
		}()
	}
	seen := map[string]bool{}
	for range goroutines {
		ids := <-made
		if !slices.IsSorted(ids) {
			t.Error("ids do not sort in the order they were made")
		}
		for _, id := range ids {
			if len(id) != 26 || Check(id) != nil {
				t.Fatalf("%q is no identifier of 26 characters", id)
			}
			seen[id] = true
		}
	}
	if len(seen) != goroutines*each {
		t.Errorf("%d different ids of %d", len(seen), goroutines*each)
	}
}

func TestFloor(t *testing.T) {
	now := time.Now()
	made := New()
	if before, after := Floor(now), Floor(now.Add(time.Minute)); before > made || made >= after {
		t.Errorf("%s is not within %s and %s", made, before, after)
	}
	if got := Floor(time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)); len(got) != 26 {
		t.Errorf("Floor of a time beyond ULIDs is %q", got)
	}
}

// An identifier of a time ahead sorts where one made then would, and no two are the same.
func TestAt(t *testing.T) {
	then := time.Now().Add(time.Hour)
	one, two := At(then), At(then)
	if one == two || one < Floor(then) || one >= Floor(then.Add(time.Millisecond)) || one < New() {
		t.Errorf("%s and %s, floor %s", one, two, Floor(then))
	}
	if odd := At(time.UnixMilli(-1)); len(odd) != 26 {
		t.Errorf("before 1970: %q", odd)
	}
}
