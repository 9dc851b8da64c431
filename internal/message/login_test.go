package message

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"rollcall/internal/notice"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// A page that says by user_login who it is got push_message twice: for having sat down, and in answer. It gets one, and
// all else that waits, as one does that names itself when it connects.
func TestLoginBringsAll(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		must := b.post(Notice{Users: []string{"anna"}, RequireAck: true})
		b.post(Notice{Users: []string{"anna"}})
		all := b.post(Notice{All: true, RequireAck: true})
		l := letter{to: only("anna"), frame: frame{event: "exam", args: []json.RawMessage{null}}}
		fatal(t, b.Notices.Hold(t.Context(), []notice.Held{heldFor("anna", l, b.now()+60_000)}))
		s := b.sit("anna", "", "web")
		for range 2 { // the second time it has all that already
			u, err := b.Login(t.Context(), s, len(b.hall.of(s.SessionID, "")) == 0, false)
			if err != nil || u.Total != 3 {
				t.Errorf("got %+v, %v", u, err)
			}
			b.hears(s, "exam", 1)
			b.settled()
		}
		for event, want := range map[string]int{"exam": 1, "notice": 2, "push_message": 2} {
			if got := len(b.hall.of(s.SessionID, event)); got != want {
				t.Errorf("%s is heard %d times, want %d", event, got, want)
			}
		}
		storetest.Eventually(t, func() bool { return b.awaited("anna", must.ID) && b.awaited("anna", all.ID) }, "what it must acknowledge is not sent again")
		if e, err := b.Notices.Get(t.Context(), must.ID); err != nil || e.State != notice.Sent || e.Sent != 1 { // it was queued for ever
			t.Errorf("in the log: %+v, %v", e, err)
		}
		if d := b.became(all.ID, "anna"); d.State != "" {
			t.Errorf("a notice to all has the row %+v", d)
		}
	})
}

// The database is away for an answer: what waits comes when it is back, although nobody asks again.
func TestLoginFails(t *testing.T) {
	b := open(t, storetest.Open(t, store.SQLite))
	b.post(Notice{Users: []string{"anna"}})
	s := b.sit("anna", "", "web")
	if _, err := b.Login(canceled(t), s, true, false); err == nil {
		t.Fatal("an answer without a database")
	}
	b.hears(s, "push_message", 1)
}

// What is transient and to all made a row for each user who was reconnecting and came back.
func TestNoRowsForAll(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		b.attend("anna")()
		sent := b.post(Notice{All: true, Transient: true, Event: "exam"})
		b.hears(b.arrive("anna", "42", "web"), "exam", 1)
		b.settled()
		if d := b.became(sent.ID, "anna"); d.State != "" {
			t.Errorf("it has the row %+v", d)
		}
	})
}

// A scheduled notice to all that everybody got was called expired in the end: nobody had counted them.
func TestScheduledToAllIsCounted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		s := b.sit("anna", "", "web")
		sent := b.post(Notice{All: true, SendAt: time.Now().Add(200 * time.Millisecond).UnixMilli(), TTL: 300 * time.Millisecond})
		waits := b.post(Notice{Users: []string{"ben"}, SendAt: time.Now().Add(200 * time.Millisecond).UnixMilli()})
		b.hears(s, "notice", 1)
		storetest.Eventually(t, func() bool { next, err := b.Notices.NextTask(t.Context()); return err == nil && next == 0 }, "it does not end")
		for noticeID, want := range map[string]string{sent.ID: notice.Sent, waits.ID: notice.Queued} {
			if e, err := b.Notices.Get(t.Context(), noticeID); err != nil || e.State != want || e.SentAt == 0 || (e.Sent == 1) != (want == notice.Sent) {
				t.Errorf("in the log: %+v, %v, want %s", e, err, want)
			}
		}
	})
}

// Each page of what was unread had all of it marked as sent once more, and everybody who came again has one: after a
// restart that was more than the ledger takes.
func TestOnlyNewsIsWritten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		b.post(Notice{Users: []string{"anna"}, RequireAck: true})
		s := b.arrive("anna", "", "web")
		b.hears(s, "push_message", 1)
		b.settled()
		b.stop()
		if _, err := b.Login(t.Context(), s, true, false); err != nil || b.ledger.fixes.len() != 0 {
			t.Errorf("%d marks, %v", b.ledger.fixes.len(), err)
		}
	})
}

// awaited reports whether a notice is sent to a user until he acknowledges it.
func (b *bench) awaited(user, noticeID string) bool {
	b.repeats.mu.Lock()
	defer b.repeats.mu.Unlock()
	return b.repeats.byKey[noticeID][user] != nil
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
