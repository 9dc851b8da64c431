package message

import (
	"encoding/json"
	"testing"
	"time"

	"rollcall/internal/hall"
	"rollcall/internal/id"
	"rollcall/internal/notice"
	"rollcall/internal/presence"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// attend opens a session of a user in conference 42, and lose breaks its link.
func (b *bench) attend(user string) (lose func()) {
	b.t.Helper()
	s := presence.Session{ID: id.New(), UserID: user, ConferenceID: "42", ClientType: "web", OpenedAt: time.Now()}
	if _, err := b.Presence.Open(b.t.Context(), s); err != nil {
		b.t.Fatal(err)
	}
	return func() {
		b.Presence.Close(s.ID, presence.Lost)
		storetest.Eventually(b.t, func() bool {
			ends, err := b.Presence.Reconnecting(b.t.Context(), []string{user}, "42")
			return err == nil && ends[user] > 0
		}, user+" is not reconnecting")
	}
}

// What is not stored waits for who is reconnecting, and for nobody else; he gets it once, in order.
func TestKeptWithinGrace(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		ctx := t.Context()
		b.attend("anna")()
		ben := b.sit("ben", "42", "web")
		sent := b.post(Notice{Users: []string{"anna", "ben", "carl"}, Transient: true, ConferenceID: "42", Event: "exam", Data: json.RawMessage("1")})
		if want := (Sent{sent.ID, 3, 1, 0}); sent != want {
			t.Errorf("got %+v, want %+v", sent, want)
		}
		b.hears(ben, "exam", 1)
		pushed, err := b.Push(ctx, Push{Users: []string{"anna"}, Event: "hello", Message: json.RawMessage("2")})
		fatal(t, err)
		if _, err := b.Push(ctx, Push{All: true, Event: "everybody", Message: json.RawMessage("3")}); err != nil {
			t.Fatal(err)
		}
		b.post(Notice{Users: []string{"anna"}, Event: "attend_login", Transient: true})
		if _, err := b.Deliver(ctx, Delivery{Tokens: []string{"anna"}, Data: json.RawMessage("4")}); err != nil {
			t.Fatal(err)
		}
		if states := [3]string{b.became(sent.ID, "anna").State, b.became(sent.ID, "carl").State, b.became(pushed.ID, "anna").State}; states != [3]string{"queued", "unreached", "queued"} {
			t.Errorf("states of anna, carl and the push: %v", states)
		}
		other := b.arrive("anna", "7", "web") // another conference: not for this socket, but for what is limited to none
		b.hears(other, "hello", 1)
		b.hears(other, "receive_message", 1) // the last; what is on its way to one socket goes to the next one too
		anna := b.arrive("anna", "42", "web")
		b.arrive("carl", "42", "web")
		b.hears(anna, "exam", 1)
		b.settled()
		var order []string
		for _, e := range append(b.hall.of(other.SessionID, ""), b.hall.of(anna.SessionID, "")...) {
			order = append(order, e.event)
		}
		if len(order) != 5 || order[0] != "hello" || order[4] != "exam" {
			t.Errorf("she heard %v", order)
		}
		if e := b.hears(other, "hello", 1)[0]; len(e.args) != 1 || e.noticeID != "" {
			t.Errorf("a push is not as it was: %+v", e)
		}
		b.becomes(sent.ID, "anna", notice.Sent)
		if list, err := logged(b, "attend_login"); err != nil || len(list) != 0 {
			t.Errorf("attend_login is in the log: %v, %v", list, err)
		}
	})
}

func logged(b *bench, event string) ([]notice.Entry, error) {
	items, _, err := b.Notices.Find(b.t.Context(), notice.Filter{Event: event})
	return items, err
}

// Whoever comes after the end of his grace gets nothing of it.
func TestNotKeptAfterGrace(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		l := letter{to: hall.Audience{Users: []string{"anna"}}, frame: frame{event: "old", args: []json.RawMessage{null}}}
		fresh := l
		fresh.frame.event = "fresh"
		now := time.Now().UnixMilli()
		fatal(t, b.Notices.Hold(t.Context(), []notice.Held{heldFor("anna", l, now-1), heldFor("anna", fresh, now+60_000)}))
		s := b.arrive("anna", "", "web")
		b.hears(s, "fresh", 1)
		if n := len(b.hall.of(s.SessionID, "")); n != 1 {
			t.Errorf("%d events", n)
		}
	})
}

// The link breaks between the look and the emission, before presence knows: it is kept a moment later.
func TestKeptThoughLostMeanwhile(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		lose := b.attend("anna")
		sent := b.post(Notice{Users: []string{"anna"}, Transient: true, Event: "exam"}) // no socket, and yet online
		if d := b.became(sent.ID, "anna"); d.State != notice.Unreached {
			t.Errorf("at first: %+v", d)
		}
		lose()
		storetest.Eventually(t, func() bool {
			w, err := b.Notices.Waiting(t.Context(), []string{"anna"})
			return err == nil && w["anna"].Held
		}, "it is not kept")
		b.hears(b.arrive("anna", "", "web"), "exam", 1)
		b.becomes(sent.ID, "anna", notice.Sent)
	})
}

// Who comes back between the look and the commit gets what is kept for him once: not by the emission too.
func TestKeptIsHeardOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		b.attend("anna")()
		for _, l := range []letter{
			{users: []string{"anna"}, to: only("anna")},
			{names: true, to: hall.Audience{All: true}},
		} {
			l.entry, l.holds = notice.Entry{ID: id.New(), Event: "hello", CreatedAt: b.now()}, true
			l.frame = frame{event: "hello", args: []json.RawMessage{null}}
			fatal(t, b.address(t.Context(), &l, nil))
			s := b.sit("anna", "42", "web")
			_, err := b.Notices.Post(t.Context(), notice.Posting{Entry: l.entry, Held: l.held, After: func(notice.Posted) { b.goOut(l) }})
			fatal(t, err)
			b.Arrived(s) // its look for what waits comes late
			b.hears(s, "hello", 1)
			b.settled()
			b.hears(s, "hello", 1)
			b.becomes(l.entry.ID, "anna", notice.Sent)
			b.leave(s)
		}
	})
}
