package notice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// at returns an ID made at a time in milliseconds.
func at(ms int64) string {
	var u ulid.ULID
	_ = u.SetTime(uint64(ms)) // fits: all times here do
	u[15] = 1
	return u.String()
}

// labels returns the labels of what a filter finds.
func labels(t *testing.T, n *Notices, f Filter) []string {
	t.Helper()
	items, _, err := n.Find(t.Context(), f)
	if err != nil {
		t.Fatalf("%+v: %v", f, err)
	}
	found := []string{}
	for _, e := range items {
		found = append(found, e.Label)
	}
	return found
}

// Each field of a filter restricts, and together they restrict together.
func TestFindFilters(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		put(t, n,
			Entry{ID: at(1000), Label: "a", Event: "vote", State: Sent, ConferenceID: "42", SenderID: "7", Category: "remind", SendType: "1", Deliveries: []Delivery{{UserID: "x", State: "sent"}, {UserID: "y", State: "sent"}}},
			Entry{ID: at(2000), Label: "b", Event: "vote", State: Suppressed, ConferenceID: "42", SenderID: "8", Category: "system", SendType: "1", Deliveries: []Delivery{{UserID: "y", State: "sent"}}},
			Entry{ID: at(3000), Label: "c", Event: "talk", State: Sent, ConferenceID: "42x", SenderID: "7", Category: "system", SendType: "2"},
		)
		for _, c := range []struct {
			f    Filter
			want []string
		}{
			{Filter{}, []string{"c", "b", "a"}},
			{Filter{ConferenceID: "42"}, []string{"b", "a"}},
			{Filter{ConferenceID: "42X"}, []string{}},
			{Filter{SenderID: "7"}, []string{"c", "a"}},
			{Filter{RecipientID: "y"}, []string{"b", "a"}},
			{Filter{RecipientID: "y", Cursor: at(2000)}, []string{"a"}},
			{Filter{RecipientID: "y", SenderID: "7", Q: "A"}, []string{"a"}},
			{Filter{RecipientID: "z"}, []string{}},
			{Filter{Event: "talk"}, []string{"c"}},
			{Filter{Category: "system"}, []string{"c", "b"}},
			{Filter{State: Suppressed}, []string{"b"}},
			{Filter{Label: "a"}, []string{"a"}},
			{Filter{SendType: "1", SenderID: "7"}, []string{"a"}},
			{Filter{From: 2000}, []string{"c", "b"}},
			{Filter{To: 2000}, []string{"b", "a"}},
			{Filter{From: 2000, To: 2000}, []string{"b"}},
			{Filter{From: 2001, To: 2999}, []string{}},
			{Filter{From: -5, To: math.MaxInt64 - 1}, []string{"c", "b", "a"}},
			{Filter{To: math.MaxInt64}, []string{"c", "b", "a"}},
			{Filter{From: math.MaxInt64}, []string{}},
			{Filter{To: -5}, []string{}},
			{Filter{Event: "vote", Limit: 1}, []string{"b"}},
			{Filter{Cursor: at(3000)}, []string{"b", "a"}},
		} {
			if got := labels(t, n, c.f); !slices.Equal(got, c.want) {
				t.Errorf("%+v: %v, want %v", c.f, got, c.want)
			}
		}
	})
}

// A text is found in message, name and label, in any case; signs that mean something to LIKE mean themselves.
func TestFindText(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		put(t, n,
			Entry{Label: "100% Done_", Event: "vote", State: Sent, Message: json.RawMessage(`{"body":"say \"hi\"\nthere C:\\x 会议"}`)},
			Entry{Label: "b", Event: "vote", State: Sent, SenderName: "Anna!"},
		)
		for q, want := range map[string][]string{
			"100%": {"100% Done_"}, "0%D": {}, "done_": {"100% Done_"}, "d_ne": {}, "ANNA!": {"b"}, "nna": {"b"}, "!": {"b"}, "SAY \"HI\"\nTHERE": {"100% Done_"},
			`c:\x`: {"100% Done_"}, `C:\\X`: {"100% Done_"}, "会": {"100% Done_"}, `"body":`: {"100% Done_"}, "'": {}, "zzz": {},
		} {
			if got := labels(t, n, Filter{Q: q}); !slices.Equal(got, want) {
				t.Errorf("%q: %v, want %v", q, got, want)
			}
		}
	})
}

// A text search ends at the newest rows of the filtered range, whatever lies before.
func TestFindTextLooksAtTheNewest(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		n.bounds.search = 3
		for i, label := range []string{"x1", "x2", "y", "x3", "z"} {
			put(t, n, Entry{ID: at(int64(i)), Label: label, Event: "vote", State: Sent})
			put(t, n, Entry{ID: at(int64(10 + i)), Label: "x", Event: "other", State: Sent})
		}
		expect(t, labels(t, n, Filter{Event: "vote", Q: "x"}), []string{"x3"})
		n.bounds.search = 4
		expect(t, labels(t, n, Filter{Event: "vote", Q: "x"}), []string{"x3", "x2"})
		expect(t, labels(t, n, Filter{Event: "vote", Q: "x", Cursor: at(3)}), []string{"x2"})
	})
}

// Where several fields match much, each alone, a page looks at some rows and says where to go on; all pages together
// hold each row once, also when the last row looked at is one of them.
func TestFindGoesOn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		n.bounds.look = 4
		const rows = 60
		var want []string
		for i := range rows { // she is told the even ones and says the odd ones, and now and then both
			e := Entry{ID: at(int64(i)), Label: fmt.Sprint(i), Event: "vote", State: Sent, SenderID: "bert"}
			if i%2 == 0 {
				e.Deliveries = []Delivery{{UserID: anna, State: "sent"}}
			}
			if i%2 == 1 || i%14 == 0 {
				e.SenderID = anna
			}
			if i%14 == 0 {
				want = append([]string{e.Label}, want...)
			}
			put(t, n, e)
		}
		f := Filter{RecipientID: anna, SenderID: anna, State: Sent, Limit: 2}
		var got []string
		err := n.Each(t.Context(), f, func(e Entry) error { got = append(got, e.Label); return nil })
		if err != nil {
			t.Fatal(err)
		}
		expect(t, got, want)
		got = nil
		pages := 0
		for next := "-"; next != ""; pages++ {
			var items []Entry
			if items, next, err = n.Find(t.Context(), f); err != nil || pages > 40 || len(items) > 2 {
				t.Fatalf("page %d of %d rows: %v", pages, len(items), err)
			}
			for _, e := range items {
				got = append(got, e.Label)
			}
			f.Cursor = next
		}
		expect(t, got, want)
		if pages < rows/2/n.bounds.look {
			t.Errorf("%d pages look at four rows each", pages)
		}
	})
}

// A text search whose time is up ends its page, and goes on where it was.
func TestFindTextInTime(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		const stride = 20
		n.bounds.time, n.bounds.stride = -time.Second, stride
		const rows = 2*stride + 10
		var entries []Entry
		for i := range rows {
			entries = append(entries, Entry{ID: at(int64(i)), Event: "vote", State: Sent})
		}
		entries[0].Label, entries[rows-stride].Label, entries[rows-1].Label = "x first", "x edge", "x last"
		put(t, n, entries...)
		f := Filter{Event: "vote", Q: "X"}
		for _, want := range [][]string{{"x last", "x edge"}, {}, {"x first"}} {
			expect(t, labels(t, n, f), want)
			_, next, err := n.Find(t.Context(), f)
			if err != nil || (next == "") != (len(want) == 1) {
				t.Fatalf("after %v: next %q, %v", want, next, err)
			}
			f.Cursor = next
		}
		n.bounds.search = stride + 5
		var got []string
		if err := n.Each(t.Context(), Filter{Q: "x"}, func(e Entry) error { got = append(got, e.Label); return nil }); err != nil {
			t.Fatal(err)
		}
		expect(t, got, []string{"x last", "x edge"})
	})
}

// Pages follow each other without gap or repetition while new rows come in; an export sees the same rows.
func TestPages(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		var entries []Entry
		for i := range 450 {
			entries = append(entries, Entry{Label: fmt.Sprint(i), Event: "vote", State: Sent})
		}
		put(t, n, entries...)
		var paged, exported []string
		for f := (Filter{Limit: 1000}); ; {
			items, next, err := n.Find(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			if len(items) > 200 {
				t.Fatalf("a page of %d", len(items))
			}
			for _, e := range items {
				paged = append(paged, e.Label)
			}
			put(t, n, Entry{Label: "late", Event: "talk", State: Sent})
			if f.Cursor = next; next == "" {
				break
			}
		}
		err := n.Each(t.Context(), Filter{Event: "vote", Q: "", Limit: 1}, func(e Entry) error {
			exported = append(exported, e.Label)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(paged) != 450 || paged[0] != "449" || paged[449] != "0" {
			t.Errorf("%d rows in pages", len(paged))
		}
		expect(t, exported, paged)
		full := errors.New("disk full")
		if err := n.Each(t.Context(), Filter{}, func(Entry) error { return full }); !errors.Is(err, full) {
			t.Errorf("error of the export: %v", err)
		}
	})
}

// What no page returned is no cursor, and text that no database takes is the caller's mistake, not ours.
func TestFindRefuses(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		for _, cursor := range []string{"1", "安", "' OR 1=1 --", "IIIIIIIIIIIIIIIIIIIIIIIIII"} {
			if _, _, err := n.Find(t.Context(), Filter{Cursor: cursor}); !fault.Is(err, fault.Invalid) || fault.Of(err).Code != "bad_cursor" {
				t.Errorf("cursor %q: %v", cursor, err)
			}
		}
		for _, f := range []Filter{{Q: "\xff"}, {Q: "a\x00b"}, {Event: "\xff"}} {
			if _, _, err := n.Find(t.Context(), f); !fault.Is(err, fault.Invalid) {
				t.Errorf("%+v: %v", f, err)
			}
			if err := n.Each(t.Context(), f, nil); !fault.Is(err, fault.Invalid) {
				t.Errorf("export of %+v: %v", f, err)
			}
		}
	})
}

// A page deep in a large log once took seconds: MariaDB began at the newest row of the index and walked to where the
// page begins. The rows that it reads are counted, which is surer than a clock.
func TestDeepPageReadsOnlyItself(t *testing.T) {
	db := storetest.Open(t, store.MySQL)
	n := open(db, time.Minute)
	n.bounds.look = 200
	const rows = 6000
	var entries []Entry
	for i := range rows {
		entries = append(entries, Entry{ID: at(int64(i)), ConferenceID: room, SenderID: anna, Label: "l", Category: "c", Event: "vote", State: Sent, SendType: "1", Deliveries: []Delivery{{UserID: anna, State: "sent"}}})
	}
	for part := range slices.Chunk(entries, 1000) {
		put(t, n, part...)
	}
	for _, f := range []Filter{
		{}, {ConferenceID: room}, {SenderID: anna}, {Label: "l"}, {Category: "c"}, {Event: "vote"}, {State: Sent}, {SendType: "1"}, {RecipientID: anna}, {RecipientID: anna, SendType: "1"},
	} {
		f.Cursor = at(rows / 2)
		err := db.Read(t.Context(), func(_ context.Context, tx *gorm.DB) error {
			before := rowsRead(t, tx)
			w, err := n.walk(tx, f)
			if err != nil {
				return err
			}
			items, _, err := n.page(tx, w, f)
			if read := rowsRead(t, tx) - before; read > 1000 {
				t.Errorf("%+v: %d rows were read for a page of %d", f, read, len(items))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// rowsRead returns how many rows the connection has read from tables and indexes.
func rowsRead(t *testing.T, tx *gorm.DB) int {
	t.Helper()
	var counts []struct {
		Name  string `gorm:"column:Variable_name"`
		Value int    `gorm:"column:Value"`
	}
	if err := tx.Raw("SHOW SESSION STATUS WHERE Variable_name IN ('Handler_read_prev', 'Handler_read_next', 'Handler_read_key', 'Handler_read_rnd_next')").Scan(&counts).Error; err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, c := range counts {
		sum += c.Value
	}
	return sum
}
