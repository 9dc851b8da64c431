package conference

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/presence"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

func TestReadSections(t *testing.T) {
	c := read([len(sections)]string{"1", "{\"a\":\"x\ty\nz\"}", "", "  ", `{"broken`, `{"n":12345678901234567890.10}`, `{"onLineNumber":7,"title":"t"}`, `null`}, "", content{})
	var tree map[string]json.RawMessage
	if err := json.Unmarshal(encodeTree("42", 3, c.body(2)), &tree); err != nil {
		t.Fatal(err)
	}
	delete(tree, "serverTime")
	want := map[string]string{
		"conferenceId": `"42"`, "version": "3", "conferenceStatus": `"1"`, "conferenceInfo": `{"a":"x\u0009y\u000az"}`,
		"sameScreen": `{"n":12345678901234567890.10}`, "headData": `{"onLineNumber":2,"title":"t"}`,
	}
	got := map[string]string{}
	for k, v := range tree {
		got[k] = string(v)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if !c.broken[4] {
		t.Error("the broken section was not noticed")
	}
}

// Only content counts: people who come and go must not look like an edit, whatever stands in headData.
func TestDigest(t *testing.T) {
	digest := func(headData, timer string) string {
		return read([len(sections)]string{head: headData, 4: timer}, "", content{}).digest
	}
	same := digest("", "")
	for _, h := range []string{`{"onLineNumber":1}`, `{}`, ` {"onLineNumber":99} `, `null`} {
		if digest(h, "") != same {
			t.Errorf("headData %s counts as content", h)
		}
	}
	for _, other := range []string{digest(`{"onLineNumber":1,"a":1}`, ""), digest("", `{"a":1}`), digest("", `{"a":`)} {
		if other == same {
			t.Error("an edit does not count as content")
		}
		same = other
	}
}

func TestStatusKeepsItsType(t *testing.T) {
	for _, c := range []struct{ column, given, want string }{
		{"1", `1`, `1`}, {"1", `"1"`, `"1"`}, {"1", ``, `"1"`}, {"2", `1`, `"2"`}, {"true", `true`, `true`}, {"", `1`, ``}, {"a\"b", ``, `"a\"b"`},
	} {
		if got := string(statusJSON(c.column, c.given)); got != c.want {
			t.Errorf("column %q given %q: %s, want %s", c.column, c.given, got, c.want)
		}
	}
}

func TestEdits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := build(t, db, nil)
		ctx := t.Context()
		first, err := b.Patch(ctx, "42", json.RawMessage(`{"topicInfo":{"a":1,"b":{"c":12345678901234567890}},"conferenceStatus":1}`), nil)
		if err != nil || first.Version < 1 {
			t.Fatal(first, err)
		}
		if d := cmp.Diff([]string{"conferenceStatus", "topicInfo"}, first.Changed); d != "" {
			t.Error(d)
		}
		same, err := b.Patch(ctx, "42", json.RawMessage(`{"topicInfo":{"a":1}}`), nil)
		if err != nil || same.Version != first.Version || len(same.Changed) != 0 {
			t.Errorf("a patch that changes nothing: %+v, %v", same, err)
		}
		second, err := b.Patch(ctx, "42", json.RawMessage(`{"topicInfo":{"a":null},"timer":{"x":{"y":null}}}`), &first.Version)
		if err != nil || second.Version <= first.Version {
			t.Fatal(second, err)
		}
		text, version, err := b.Tree(ctx, "42")
		if err != nil || version != second.Version || !strings.Contains(string(text), `"topicInfo":{"b":{"c":12345678901234567890}},"timer":{"x":{}}`) || !strings.Contains(string(text), `"conferenceStatus":1,`) {
			t.Errorf("the tree is %s, %v", text, err)
		}
		for name, c := range map[string]struct {
			err  error
			kind fault.Kind
		}{
			"outdated":        {second2(b.Patch(ctx, "42", json.RawMessage(`{"timer":1}`), &first.Version)), fault.Precondition},
			"unknown section": {second2(b.Patch(ctx, "42", json.RawMessage(`{"nonsense":1}`), nil)), fault.Invalid},
			"no object":       {second2(b.Patch(ctx, "42", json.RawMessage(`[1]`), nil)), fault.Invalid},
			"too deep":        {second2(b.Patch(ctx, "42", json.RawMessage(`{"timer":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)+`}`), nil)), fault.Invalid},
			"too large":       {second2(b.Patch(ctx, "42", json.RawMessage(`{"timer":"`+strings.Repeat("x", 5000)+`"}`), nil)), fault.TooLarge},
			"status object":   {second2(b.PutSection(ctx, "42", "conferenceStatus", json.RawMessage(`{}`), nil)), fault.Invalid},
			"no section":      {second2(b.PutSection(ctx, "42", "nonsense", json.RawMessage(`{}`), nil)), fault.NotFound},
		} {
			if !fault.Is(c.err, c.kind) {
				t.Errorf("%s: %v", name, c.err)
			}
		}
		if _, after, err := b.Tree(ctx, "42"); err != nil || after != second.Version {
			t.Errorf("what was refused left version %d, want %d, %v", after, second.Version, err)
		}
	})
}

func second2(_ Edited, err error) error { return err }

// A backend that writes the row itself and says nothing is noticed, once, and its change refuses an outdated If-Match.
func TestForeignWriteIsAdopted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := build(t, db, nil)
		b.arrive(t, "anna", "42")
		b.shows(t, "42", "headData", `{"onLineNumber":1}`)
		edited, err := b.Patch(t.Context(), "42", json.RawMessage(`{"timer":{"a":1}}`), nil)
		if err != nil {
			t.Fatal(err)
		}
		write := func(value string) {
			t.Helper()
			if _, err := db.SQL().ExecContext(t.Context(), "UPDATE conference_nodes SET timer = ? WHERE conference_id = '42'", value); err != nil {
				t.Fatal(err)
			}
		}
		write(`{"b":2}`)
		if _, err := b.Patch(t.Context(), "42", json.RawMessage(`{"topicInfo":1}`), &edited.Version); !fault.Is(err, fault.Precondition) {
			t.Errorf("a patch over a foreign change: %v", err)
		}
		b.shows(t, "42", "timer", `{"b":2}`)
		_, version, err := b.Tree(t.Context(), "42")
		if err != nil || version <= edited.Version {
			t.Errorf("version %d after %d, %v", version, edited.Version, err)
		}
		if _, err := b.adopt(t.Context(), "42", false); err != nil {
			t.Fatal(err)
		}
		if _, again, _ := b.Tree(t.Context(), "42"); again != version {
			t.Errorf("the same foreign change was adopted twice: %d, then %d", version, again)
		}
		pushed, err := b.Push(t.Context(), "42")
		if err != nil || pushed <= version {
			t.Errorf("a push that was asked for left version %d, %v", pushed, err)
		}
	})
}

// An edit and what else happens in the same transaction come together or not at all.
func TestEditJoinsTransaction(t *testing.T) {
	db := storetest.Open(t, store.SQLite)
	b := build(t, db, nil)
	no := errors.New("no")
	err := db.Write(t.Context(), func(ctx context.Context, tx *gorm.DB) error {
		if _, err := b.Patch(ctx, "42", json.RawMessage(`{"timer":1}`), nil); err != nil {
			return err
		}
		return no
	})
	if !errors.Is(err, no) {
		t.Fatal(err)
	}
	if _, version, err := b.Tree(t.Context(), "42"); err != nil || version != 0 {
		t.Errorf("what was rolled back left version %d, %v", version, err)
	}
}

func TestCompareRosters(t *testing.T) {
	entry := func(user string, state presence.State, member bool) presence.Entry {
		return presence.Entry{UserID: user, State: state, Member: member}
	}
	before := map[string]presence.Entry{"a": entry("a", presence.Online, true), "b": entry("b", presence.Online, false), "c": entry("c", presence.Online, false)}
	after := map[string]presence.Entry{"c": entry("c", presence.Reconnecting, false), "d": entry("d", presence.Online, false)}
	changed, left := compare(before, after)
	states := map[string]presence.State{}
	for _, u := range changed {
		states[u.UserID] = u.State
	}
	if d := cmp.Diff(map[string]presence.State{"a": presence.Absent, "c": presence.Reconnecting, "d": presence.Online}, states); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"b"}, left); d != "" {
		t.Error(d)
	}
}

// FuzzRead reads columns as strangers may have written them: the tree must be JSON whatever they hold.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"", "1", `{"a":1}`, "{\"a\":\"\t\"}", `{"a`, `"\`, "\x00", `{"onLineNumber":1e999}`, strings.Repeat("[", 70)} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		var columns [len(sections)]string
		for i := range columns {
			columns[i] = a
		}
		columns[head] = b
		c := read(columns, "", content{})
		if tree := encodeTree("42", 1, c.body(1)); !json.Valid(tree) {
			t.Fatalf("%q and %q make %s", a, b, tree)
		}
		columns[timerSection] = b // some columns as before, and one that is another
		again, anew := read(columns, "", c), read(columns, "", content{})
		if !reflect.DeepEqual(again, anew) {
			t.Fatalf("%q and %q are %+v beside what was known, and %+v by themselves", a, b, again, anew)
		}
	})
}
