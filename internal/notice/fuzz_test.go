package notice

import (
	"testing"
	"time"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// Whatever is sent as a cursor, each list of this package either refuses it or goes on from somewhere to its end.
func FuzzCursor(f *testing.F) {
	const lines = 5
	n := open(storetest.Open(f, store.SQLite), time.Minute)
	for i := range lines {
		e := Entry{ID: at(int64(10 * i)), Event: ChatMessage, ConferenceID: room, Category: "system", State: Sent, SentAt: 1, Stored: true, Audience: lines,
			Deliveries: []Delivery{{UserID: anna, State: Sent}, {UserID: "8", State: Sent}, {UserID: "9", State: Sent}, {UserID: "張", State: Sent}, {UserID: "👤", State: Sent}}}
		if err := n.Append(f.Context(), []Entry{e}); err != nil {
			f.Fatal(err)
		}
	}
	for i, s := range append(storetest.Cursors(), "", at(0), at(25), at(1<<40)) {
		f.Add(i, s)
	}
	f.Fuzz(func(t *testing.T, which int, cursor string) {
		lists := []func(cursor string) (ids []string, next string, err error){
			func(cursor string) ([]string, string, error) {
				items, next, err := n.Find(t.Context(), Filter{ConferenceID: room, Cursor: cursor, Limit: 2})
				return names(items, func(e Entry) string { return e.ID }), next, err
			},
			func(cursor string) ([]string, string, error) {
				items, next, err := n.Find(t.Context(), Filter{Event: ChatMessage, RecipientID: anna, Cursor: cursor, Limit: 2})
				return names(items, func(e Entry) string { return e.ID }), next, err
			},
			func(cursor string) ([]string, string, error) {
				items, next, err := n.ChatHistory(t.Context(), room, cursor, 2)
				return names(items, func(l ChatLine) string { return l.ID }), next, err
			},
			func(cursor string) ([]string, string, error) {
				items, next, err := n.Inbox(t.Context(), whole(anna), InboxQuery{Cursor: cursor, Limit: 2})
				return names(items, func(i Item) string { return i.ID }), next, err
			},
			func(cursor string) ([]string, string, error) {
				items, next, err := n.Deliveries(t.Context(), at(20), cursor, 2)
				return names(items, func(d Delivery) string { return d.UserID }), next, err
			},
		}
		for i, list := range lists {
			if cursor != "" && uint(which)%uint(len(lists)) != uint(i) {
				continue
			}
			if got := storetest.FromCursor(t, cursor, list); got > lines || cursor == "" && got != lines {
				t.Errorf("list %d has %d of %d items", i, got, lines)
			}
		}
	})
}

func names[T any](items []T, name func(T) string) (out []string) {
	for _, item := range items {
		out = append(out, name(item))
	}
	return out
}
