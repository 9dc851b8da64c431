package webhook

import (
	"fmt"
	"testing"

	"rollcall/internal/fault"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// Whatever is sent as a cursor or as an id, the list either refuses it or goes on from somewhere to its end, and a replay
// finds nothing or something that is in the list.
func FuzzCursor(f *testing.F) {
	const events = 5
	n := newNode(f, storetest.Open(f, store.SQLite), Endpoint{URL: "http://x.example/hook"})
	for i := range events {
		n.append(f, fmt.Sprint(i%2), nil)
	}
	all, _, err := n.List(f.Context(), "", "", 0)
	if err != nil || len(all) != events {
		f.Fatalf("%d events, %v", len(all), err)
	}
	for _, s := range append(storetest.Cursors(), "", all[2].ID) {
		f.Add(s, "")
		f.Add(s, pending)
	}
	f.Add("", "dead' OR '1'='1")
	f.Fuzz(func(t *testing.T, cursor, state string) {
		if _, _, err := n.List(t.Context(), state, "", 0); err != nil {
			if f := fault.Of(err); f.Kind != fault.Invalid || f.Code != "bad_payload" {
				t.Fatalf("state %q: %v", state, err)
			}
			return
		}
		got := storetest.FromCursor(t, cursor, func(cursor string) (ids []string, next string, err error) {
			items, next, err := n.List(t.Context(), state, cursor, 2)
			for _, d := range items {
				ids = append(ids, d.ID)
			}
			return ids, next, err
		})
		if got > events || cursor == "" && state == "" && got != events {
			t.Errorf("%d of %d events", got, events)
		}
		if err := n.Replay(t.Context(), cursor); err != nil && !fault.Is(err, fault.NotFound) {
			t.Errorf("replay %q: %v", cursor, err)
		}
	})
}
