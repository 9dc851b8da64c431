package message

import (
	"context"
	"encoding/json"
	"testing"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/notice"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// A push reaches who is there, untouched and without asking; the log names who was not.
func TestPush(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		ctx := t.Context()
		anna, tab := b.sit("anna", "42", "web"), b.sit("anna", "7", "web")
		message := json.RawMessage(`{ "n" : 1.00 }`)
		done, err := b.Push(ctx, Push{Users: []string{"anna", "ben"}, ConferenceID: "42", Event: "hello", Message: message, Label: "x", SendType: "3"})
		if err != nil || done.Audience != 2 || done.Online != 1 {
			t.Fatalf("got %+v, %v", done, err)
		}
		if e := b.hears(anna, "hello", 1)[0]; len(e.args) != 1 || string(e.args[0]) != string(message) || e.noticeID != "" {
			t.Errorf("anna hears %+v", e)
		}
		row, err := b.Notices.Get(ctx, done.ID)
		if err != nil || row.State != "sent" || row.Label != "x" || row.SendType != "3" || row.Sent != 1 || row.Stored || string(row.Message) != string(message) {
			t.Errorf("in the log: %+v, %v", row, err)
		}
		if a, c := b.became(done.ID, "anna").State, b.became(done.ID, "ben").State; a != notice.Sent || c != notice.Unreached {
			t.Errorf("anna is %s, ben %s", a, c)
		}
		if done, err := b.Push(ctx, Push{All: true, Event: "all"}); err != nil || done.Audience != 1 || done.Online != 1 || b.became(done.ID, "anna").State != notice.Sent {
			t.Errorf("to all: %+v, %v", done, err)
		}
		b.hears(tab, "all", 1)
		if done, err := b.Push(ctx, Push{Event: "hello"}); err != nil || done.Audience != 0 || done.Online != 0 {
			t.Errorf("to nobody: %+v, %v", done, err)
		}
		if _, err := b.Push(ctx, Push{Users: []string{"anna"}, Event: "attend_login"}); err != nil {
			t.Error(err)
		}
		b.hears(anna, "attend_login", 1)
		if list, err := logged(b, "attend_login"); err != nil || len(list) != 0 {
			t.Errorf("attend_login is in the log: %v, %v", list, err)
		}
		done, err = b.Push(ctx, Push{Users: []string{"anna"}, Event: "note_tree", ConferenceID: "42"})
		if err != nil || done.Online != 1 || len(b.hall.of(anna.SessionID, "note_tree")) != 0 {
			t.Errorf("a tree: %+v, %v", done, err)
		}
		if _, err := b.Push(ctx, Push{Users: []string{"anna"}, Event: "note_tree"}); !fault.Is(err, fault.Invalid) {
			t.Errorf("a tree of nowhere: %v", err)
		}
	})
}

// In somebody's transaction nothing is heard before its commit, and nothing at all when it is rolled back.
func TestWithinTransaction(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		s := b.sit("anna", "", "web")
		for _, fails := range []bool{true, false} {
			var sent Sent
			err := db.Write(t.Context(), func(ctx context.Context, _ *gorm.DB) error {
				var err error
				if sent, err = b.Send(ctx, Notice{Users: []string{"anna"}, Event: "notice", Category: "system"}); err != nil {
					return err
				}
				if _, err = b.Push(ctx, Push{Users: []string{"anna"}, Event: "attend_login"}); err != nil {
					return err
				}
				if n := len(b.hall.of(s.SessionID, "")); n != 0 {
					t.Errorf("%d events before the commit", n)
				}
				if fails {
					return fault.Invalidf("too late")
				}
				return nil
			})
			if heard := len(b.hall.of(s.SessionID, "")); (err != nil) != fails || fails && heard != 0 || !fails && heard != 2 {
				t.Errorf("fails %v: %v, %d events", fails, err, heard)
			}
			if _, err := b.Notices.Get(t.Context(), sent.ID); (err != nil) != fails {
				t.Errorf("fails %v: the row: %v", fails, err)
			}
		}
	})
}

// Tokens are aliases of sockets, also of nobody's, else ids of users.
func TestDeliver(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		nobody, anna, other := b.sit("", "", "web"), b.sit("anna", "", "web"), b.sit("ben", "", "web")
		b.hall.do(func() { b.hall.aliases[nobody.SessionID], b.hall.aliases[other.SessionID] = "tok en", "t2" })
		n, err := b.Deliver(t.Context(), Delivery{Tokens: []string{"tok en", "anna", "anna", "carl", "not an id"}, EntityType: json.RawMessage("7"), Data: json.RawMessage(`{"n":1.0}`)})
		if err != nil || n != 2 {
			t.Fatalf("reached %d, %v", n, err)
		}
		if e := b.hears(nobody, "receive_message", 1)[0]; string(e.args[0]) != `{"entityType":7,"data":{"n":1.0}}` || len(e.args) != 1 {
			t.Errorf("the page hears %s", e.args)
		}
		b.hears(anna, "receive_message", 1)
		if len(b.hall.of(other.SessionID, "")) != 0 {
			t.Error("another token's page hears it")
		}
		rows, err := logged(b, "receive_message")
		if err != nil || len(rows) != 1 || rows[0].Sent != 1 || rows[0].Audience != 4 || len(rows[0].Recipients) != 2 {
			t.Errorf("in the log: %+v, %v", rows, err)
		}
		if n, err := b.Deliver(t.Context(), Delivery{}); n != 0 || err != nil {
			t.Errorf("to no token: %d, %v", n, err)
		}
	})
}
