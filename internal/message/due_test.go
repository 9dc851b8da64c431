package message

import (
	"testing"
	"time"

	"rollcall/internal/notice"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// The process that took a scheduled notice is gone when its time comes: of two others one sends it, once, in time.
func TestScheduledAcrossRestart(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		anna := b.sit("anna", "", "web")
		at := time.Now().Add(6 * time.Second).UnixMilli() // the others open a moment after they have registered
		sent := b.post(Notice{Users: []string{"anna", "ben"}, SendAt: at, TTL: time.Hour, RequireAck: true})
		if want := (Sent{sent.ID, 2, 0, 2}); sent != want {
			t.Errorf("got %+v, want %+v", sent, want)
		}
		if u, err := b.Notices.Unread(t.Context(), notice.View{UserID: "anna", Whole: true}); err != nil || u.Total != 0 || len(b.hall.of(anna.SessionID, "")) != 0 {
			t.Errorf("before its time: %+v, %v", u, err)
		}
		b.stop()

		next, other := open(t, db), open(t, db)
		anna, elsewhere := next.sit("anna", "", "web"), other.sit("anna", "", "app")
		storetest.Eventually(t, func() bool {
			return len(next.hall.of(anna.SessionID, "notice"))+len(other.hall.of(elsewhere.SessionID, "notice")) > 0
		}, "it is not sent")
		next.becomes(sent.ID, "anna", notice.Sent)
		next.settled()
		other.settled()
		all := append(next.hall.of(anna.SessionID, "notice"), other.hall.of(elsewhere.SessionID, "notice")...)
		if n := read(t, all[0].args[0]); len(all) != 1 || n["createdAt"] != float64(at) || n["expiresAt"] != float64(at+3_600_000) {
			t.Errorf("sent %d times: %v", len(all), n)
		}
		e, err := next.Notices.Get(t.Context(), sent.ID)
		if err != nil || e.SentAt < at || e.SentAt > at+5000 || e.State != notice.Sent || next.became(sent.ID, "ben").State != notice.Queued {
			t.Errorf("in the log: %+v, %v", e, err)
		}
		if n := next.repeats.len() + other.repeats.len(); n != 1 {
			t.Errorf("%d are sent again", n)
		}
	})
}

// A notice whose time is very near does not wait for the next look; one that is over by then does not go out.
func TestScheduledSoon(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		s := b.sit("anna", "", "web")
		all := b.post(Notice{All: true, SendAt: time.Now().Add(300 * time.Millisecond).UnixMilli()})
		transient := b.post(Notice{Users: []string{"anna", "ben"}, Transient: true, Event: "exam", SendAt: time.Now().Add(300 * time.Millisecond).UnixMilli()})
		b.hears(s, "notice", 1)
		b.hears(s, "exam", 1)
		b.becomes(transient.ID, "anna", notice.Sent)
		b.becomes(transient.ID, "ben", notice.Unreached)
		if e, err := b.Notices.Get(t.Context(), all.ID); err != nil || e.SentAt == 0 {
			t.Errorf("in the log: %+v, %v", e, err)
		}
	})
}

// What expires is in nobody's inbox any more, is not pushed, and is not sent again.
func TestExpired(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		here := b.sit("anna", "", "web")
		sent := b.post(Notice{Users: []string{"anna", "ben"}, TTL: 400 * time.Millisecond, RequireAck: true})
		b.becomes(sent.ID, "ben", notice.Expired)
		storetest.Eventually(t, func() bool { return b.repeats.len() == 0 }, "it is still sent again")
		if d := b.became(sent.ID, "anna"); d.State != notice.Sent {
			t.Errorf("anna: %+v", d)
		}
		b.hears(here, "notice", 1)
		ben := b.arrive("ben", "", "web")
		b.settled()
		if got := b.hall.of(ben.SessionID, ""); len(got) != 0 {
			t.Errorf("ben hears %v", got)
		}
		nobody := b.post(Notice{Users: []string{"carl"}, TTL: 100 * time.Millisecond})
		storetest.Eventually(t, func() bool {
			e, err := b.Notices.Get(t.Context(), nobody.ID)
			return err == nil && e.State == notice.Expired
		}, "a notice that reached nobody is not expired in the log")
	})
}

// The backend hears whom a notice did not reach in time: who has not acknowledged it, else for whom it still waits.
func TestUnreached(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		anna := b.sit("anna", "", "web")
		b.sit("ben", "", "web")
		must := b.post(Notice{Users: []string{"anna", "ben", "carl"}, RequireAck: true, UnreachedAfter: 2 * time.Second, Label: "exam", ConferenceID: ""})
		may := b.post(Notice{Users: []string{"anna", "carl"}, UnreachedAfter: 2 * time.Second})
		b.Acked(anna, must.ID)
		b.becomes(must.ID, "carl", notice.Unreached)
		b.becomes(may.ID, "carl", notice.Unreached)
		got := map[string]bool{}
		for _, data := range b.told("notice.unreached") {
			got[data["noticeId"].(string)+data["userId"].(string)] = true
			if data["noticeId"] == must.ID && (data["label"] != "exam" || data["event"] != "notice" || data["category"] != "system") {
				t.Errorf("the backend is told %v", data)
			}
		}
		if len(got) != 3 || !got[must.ID+"ben"] || !got[must.ID+"carl"] || !got[may.ID+"carl"] {
			t.Errorf("the backend is told of %v", got)
		}
		b.hears(b.arrive("carl", "", "web"), "push_message", 1) // it stays in his inbox
		b.becomes(may.ID, "carl", notice.Sent)
	})
}

// A notice that is taken back leaves every inbox, and who has it is told, once.
func TestRecall(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		anna, other := b.sit("anna", "", "web"), b.sit("carl", "", "web")
		sent := b.post(Notice{Users: []string{"anna", "ben"}, RequireAck: true})
		all := b.post(Notice{All: true, Except: []string{"carl"}})
		later := b.post(Notice{Users: []string{"anna"}, SendAt: time.Now().Add(time.Hour).UnixMilli()})
		for _, noticeID := range []string{sent.ID, all.ID, later.ID, sent.ID} {
			fatal(t, b.Recall(t.Context(), noticeID))
		}
		told := b.hears(anna, "notice_recalled", 2)
		for i, noticeID := range []string{sent.ID, all.ID} {
			if p := read(t, told[i].args[0]); p["id"] != noticeID || p["at"] == nil || len(p) != 2 {
				t.Errorf("told %v", p)
			}
		}
		ben := b.arrive("ben", "", "web")
		b.settled()
		if got := append(b.hall.of(ben.SessionID, ""), b.hall.of(other.SessionID, "notice_recalled")...); len(got) != 0 || b.repeats.len() != 0 {
			t.Errorf("who does not have it hears %v, %d are sent again", got, b.repeats.len())
		}
		if d := b.became(sent.ID, "anna"); d.State != notice.Recalled {
			t.Errorf("anna: %+v", d)
		}
		if err := b.Recall(t.Context(), "01ARZ3NDEKTSV4RRFFQ69G5FAV"); err == nil {
			t.Error("an unknown notice is recalled")
		}
	})
}
