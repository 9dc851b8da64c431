package rest

import (
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/notice"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// fill writes n rows into the log and returns their ids, newest first.
func (b *bench) fill(n int, e notice.Entry) (ids []string) {
	b.t.Helper()
	for i := range n {
		e.ID, e.State, e.Message = "", notice.Sent, []byte(fmt.Sprintf(`{"n":%d}`, i))
		if err := b.Notices.Append(b.t.Context(), []notice.Entry{e}); err != nil {
			b.t.Fatal(err)
		}
	}
	list, _, err := b.Notices.Find(b.t.Context(), notice.Filter{Event: e.Event, Limit: 200})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, found := range list {
		ids = append(ids, found.ID)
	}
	return ids
}

// TestPaging: pages of any size hold every row once, in order.
func TestPaging(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		want := b.fill(23, notice.Entry{Event: "hello", ConferenceID: "42"})
		for _, limit := range []int{1, 7, 23, 200} {
			if got := b.pages("/notices?event=hello", limit, "id"); !slices.Equal(got, want) {
				t.Errorf("pages of %d: %d rows, want %d, or another order", limit, len(got), len(want))
			}
		}
		for i := range 5 {
			b.must(201, "PUT", "/conferences/c"+itoa(i), "")
		}
		if got := b.pages("/conferences", 2, "id"); strings.Join(got, " ") != "c0 c1 c2 c3 c4" {
			t.Errorf("conferences: %v", got)
		}
	})
}

// TestFilters: each filter finds its row and not the other.
func TestFilters(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		one := b.fill(1, notice.Entry{Event: "one", ConferenceID: "42", SenderID: "7", Category: "system", Label: "red", SendType: "2", CreatedAt: 5,
			Deliveries: []notice.Delivery{{UserID: "8", State: "sent", At: 5}}})[0]
		b.fill(1, notice.Entry{Event: "two", ConferenceID: "43", SenderID: "9"})
		for _, q := range []string{"event=one", "conferenceId=42", "senderId=7", "category=system", "label=red", "sendType=2", "recipientId=8", "q=RED", "event=one&state=sent&from=0&conferenceId=0"} {
			if got := b.pages("/notices?"+q, 50, "id"); len(got) != 1 || got[0] != one {
				t.Errorf("%s finds %v, want %s", q, got, one)
			}
		}
		if got := b.pages("/notices?to=1", 50, "id"); len(got) != 0 {
			t.Errorf("rows before 1970: %v", got)
		}
	})
}

// TestExport: the file has a BOM, one record per row, no cell that a spreadsheet would run, and a row in the log.
func TestExport(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		b.fill(3, notice.Entry{Event: "hello", SenderName: `=HYPERLINK("http://x","y")`, Label: "a,\"b\"\nc"})
		r := b.must(200, "GET", "/notices/export.csv?event=hello", "")
		if ct := r.Header().Get("Content-Type"); ct != "text/csv; charset=utf-8" {
			t.Errorf("content type %q", ct)
		}
		text, found := strings.CutPrefix(r.Body.String(), bom)
		if !found {
			t.Error("no BOM")
		}
		records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil || len(records) != 4 {
			t.Fatalf("%d records, %v", len(records), err)
		}
		if got := records[1][slices.Index(columns, "senderName")]; got != `'=HYPERLINK("http://x","y")` {
			t.Errorf("a formula: %s", got)
		}
		if got := records[1][slices.Index(columns, "label")]; got != "a,\"b\"\nc" {
			t.Errorf("a text with everything in it: %q", got)
		}
		if rows := b.logged("audit"); len(rows) != 1 || !strings.Contains(fmt.Sprint(rows[0]), "export") {
			t.Errorf("audit: %v", rows)
		}
		r = b.must(200, "GET", "/notices/export.csv?event=nothing", "")
		if lines := strings.Count(r.Body.String(), "\r\n"); lines != 1 {
			t.Errorf("an empty log has %d lines", lines)
		}
	})
}

// TestHarmless: every beginning by which a spreadsheet tells a formula is defused, and nothing else is touched.
func TestHarmless(t *testing.T) {
	for cell, want := range map[string]string{"=1": "'=1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\tx": "'\tx", "\rx": "'\rx", "x=1": "x=1", "": "", "会": "会"} {
		if got := harmless(cell); got != want {
			t.Errorf("harmless(%q) = %q, want %q", cell, got, want)
		}
	}
}
