package message

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"rollcall/internal/fault"
	"rollcall/internal/hall"
	"rollcall/internal/notice"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// A direct message reaches every device of its receiver, or waits; the same number again is the same message.
func TestDirect(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		ctx := t.Context()
		anna, phone, tab := b.sit("anna", "42", "web"), b.sit("ben", "", "app"), b.sit("ben", "7", "web")
		told, err := b.Direct(ctx, anna, "ben", json.RawMessage(`"hi"`), "no 1")
		if err != nil || told.Delivered != 2 || told.Queued {
			t.Fatalf("got %+v, %v", told, err)
		}
		for _, s := range []hall.Socket{phone, tab} {
			e := b.hears(s, "direct_message", 1)[0]
			p := read(t, e.args[0])
			if len(e.args) != 1 || e.noticeID != told.ID || len(p) != 5 || p["id"] != told.ID || p["from"] != "anna" || p["fromName"] != "anna!" || p["body"] != "hi" || p["at"] == nil {
				t.Errorf("%s hears %v", s.ClientType, p)
			}
		}
		again, err := b.Direct(ctx, anna, "ben", json.RawMessage(`"hi"`), "no 1")
		if err != nil || again.ID != told.ID || again.Delivered != 2 {
			t.Errorf("the same number again: %+v, %v", again, err)
		}
		waits, err := b.Direct(ctx, anna, "carl", json.RawMessage(`{"n":12345678901234567890}`), "")
		if err != nil || waits.Delivered != 0 || !waits.Queued {
			t.Errorf("to nobody: %+v, %v", waits, err)
		}
		carl := b.arrive("carl", "", "web")
		p := b.hears(carl, "push_message", 1)[0].args[0]
		item := read(t, p)["items"].([]any)[0].(map[string]any)
		if item["event"] != "direct_message" || item["category"] != "mailbox" || item["senderId"] != "anna" || item["senderName"] != "anna!" || item["body"] != "" || !contains(p, `"data":{"n":12345678901234567890}`) {
			t.Errorf("what waits: %s", p)
		}
		b.hears(phone, "direct_message", 1)
		page, err := b.Inbox(ctx, notice.View{UserID: "ben", Whole: true}, notice.InboxQuery{})
		if err != nil || len(page.Items) != 1 || page.Items[0].Body != "hi" || string(page.Items[0].Data) != `"hi"` || page.Unread.ByCategory["mailbox"] != 1 {
			t.Errorf("the inbox of ben: %+v, %v", page, err)
		}
	})
}

// Twenty senders use one number at once: one message.
func TestDirectAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		anna, ben := b.sit("anna", "", "web"), b.sit("ben", "", "web")
		var work sync.WaitGroup
		var mu sync.Mutex
		ids := map[string]bool{}
		for range 20 {
			work.Go(func() {
				told, err := b.Direct(t.Context(), anna, "ben", json.RawMessage("1"), "x")
				mu.Lock()
				defer mu.Unlock()
				if ids[told.ID] = true; err != nil {
					t.Error(err)
				}
			})
		}
		work.Wait()
		if b.hears(ben, "direct_message", 1); len(ids) != 1 {
			t.Errorf("%d messages", len(ids))
		}
	})
}

// A task keeps what its sender wrote, digit by digit and in order, but for the three fields that are ours.
func TestTodo(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		anna, ben := b.sit("anna", "", "web"), b.sit("ben", "", "web")
		told, err := b.Todo(t.Context(), anna, "ben", json.RawMessage(`{"z":1.10,"receiver_id":98765432109876543210,"senderId":"forged","a<b":[1, 2],"id":7}`))
		if err != nil || told.Delivered != 1 || told.Queued {
			t.Fatalf("got %+v, %v", told, err)
		}
		got := b.hears(ben, "todo_message", 1)[0].args
		at := fmt.Sprintf("%.0f", read(t, got[0])["createdAt"])
		want := `{"z":1.10,"receiver_id":98765432109876543210,"a<b":[1, 2],"id":"` + told.ID + `","senderId":"anna","createdAt":` + at + `}`
		if string(got[0]) != want || len(got) != 1 {
			t.Errorf("ben hears %s, want %s", got, want)
		}
		page, err := b.Inbox(t.Context(), notice.View{UserID: "ben", Whole: true}, notice.InboxQuery{})
		if err != nil || len(page.Items) != 1 || string(page.Items[0].Data) != want || page.Items[0].Category != "remind" || page.Items[0].ID != told.ID {
			t.Errorf("in the inbox: %+v, %v", page, err)
		}
	})
}

func TestPeopleAreRefused(t *testing.T) {
	b := open(t, storetest.Open(t, store.SQLite))
	anna, one := b.sit("anna", "", "web"), json.RawMessage("1")
	ctx := t.Context()
	for name, c := range map[string]struct {
		do   func() error
		code string
	}{
		"nobody speaks":     {func() error { _, err := b.Direct(ctx, hall.Socket{}, "ben", one, ""); return err }, "forbidden"},
		"nobody has a task": {func() error { _, err := b.Todo(ctx, hall.Socket{}, "ben", json.RawMessage("{}")); return err }, "forbidden"},
		"to no id":          {func() error { _, err := b.Direct(ctx, anna, "a b", one, ""); return err }, "bad_payload"},
		"no body":           {func() error { _, err := b.Direct(ctx, anna, "ben", nil, ""); return err }, "bad_payload"},
		"broken body":       {func() error { _, err := b.Direct(ctx, anna, "ben", json.RawMessage("{"), ""); return err }, "bad_payload"},
		"a long number":     {func() error { _, err := b.Direct(ctx, anna, "ben", one, fmt.Sprintf("%065d", 1)); return err }, "bad_payload"},
		"a task of 1":       {func() error { _, err := b.Todo(ctx, anna, "ben", one); return err }, "bad_payload"},
		"a null task":       {func() error { _, err := b.Todo(ctx, anna, "ben", json.RawMessage("null")); return err }, "bad_payload"},
		"silent chat":       {func() error { _, err := b.Chat(ctx, anna, "42", nil); return err }, "bad_payload"},
	} {
		if err := c.do(); fault.Of(err) == nil || fault.Of(err).Code != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

// Everybody in the room hears the same in the same order, the speaker too; nobody may speak; the lobby hears nothing.
func TestChat(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		anna, ben, lobby := b.sit("anna", "42", "web"), b.sit("ben", "42", "web"), b.sit("carl", "", "web")
		var work sync.WaitGroup
		for i := range 30 {
			work.Go(func() {
				if _, err := b.Chat(t.Context(), []hall.Socket{anna, ben}[i%2], "42", json.RawMessage(fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
			})
		}
		work.Wait()
		one, two := b.hears(anna, "chat message", 30), b.hears(ben, "chat message", 30)
		for i := range one {
			if string(one[i].args[0]) != string(two[i].args[0]) || string(one[i].args[1]) != string(two[i].args[1]) {
				t.Errorf("message %d differs: %s and %s", i, one[i].args, two[i].args)
			}
		}
		said, err := b.Chat(t.Context(), hall.Socket{IP: "192.0.2.7"}, "", json.RawMessage(`{ "t" : 1.0 }`))
		fatal(t, err)
		e := b.hears(lobby, "chat message", 1)[0]
		if p := read(t, e.args[1]); string(e.args[0]) != `{ "t" : 1.0 }` || p["id"] != said || p["userId"] != "" || p["userName"] != "" || p["at"] == nil {
			t.Errorf("the lobby hears %s", e.args)
		}
		row, err := b.Notices.Get(t.Context(), said)
		if err != nil || row.Audience != 1 || row.Sent != 1 || row.FromIP != "192.0.2.7" || row.Actor != "socket" || string(row.Message) != `{ "t" : 1.0 }` || row.Stored {
			t.Errorf("in the log: %+v, %v", row, err)
		}
	})
}
