package message

import (
	"fmt"
	"testing"
	"time"

	"rollcall/internal/notice"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// soon shortens the time until a notice is sent again.
func soon(m *Messages) { m.repeats.first = 20 * time.Millisecond }

// Nobody acknowledges: the notice goes out once and five times more, with the same id, and once more to who connects.
func TestSentAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db, soon)
		s := b.sit("anna", "", "web")
		start := time.Now()
		sent := b.post(Notice{Users: []string{"anna"}, RequireAck: true})
		b.post(Notice{Users: []string{"anna"}}) // need not be acknowledged
		storetest.Eventually(t, func() bool { return b.repeats.len() == 0 }, "it is sent again for ever")
		if took := time.Since(start); took < (1+2+4+8+16)*20*time.Millisecond {
			t.Errorf("five times within %v: the pauses do not grow", took)
		}
		times := 0
		for _, e := range b.hears(s, "notice", 1+rounds+1) {
			if e.noticeID == sent.ID {
				times++
			}
		}
		if times != 1+rounds {
			t.Errorf("it went out %d times", times)
		}
		late := b.arrive("anna", "", "app")
		b.settled()
		if e := b.hears(late, "notice", 1)[0]; e.noticeID != sent.ID || b.repeats.len() != 0 {
			t.Errorf("who connects hears %+v, %d are sent again", e, b.repeats.len())
		}
	})
}

// The first acknowledgement is lost, the second comes twice, from two devices: acknowledged once, and the backend told
// once.
func TestAckLost(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db, soon)
		phone, tab := b.sit("anna", "", "app"), b.sit("anna", "", "web")
		sent := b.post(Notice{Users: []string{"anna"}, RequireAck: true, ConferenceID: ""})
		storetest.Eventually(t, func() bool { return len(b.hall.of(phone.SessionID, "notice")) > 1 }, "it is not sent again")
		b.Acked(phone, sent.ID)
		b.Acked(tab, sent.ID)
		if n := b.repeats.len(); n != 0 {
			t.Errorf("%d are still sent again", n)
		}
		b.becomes(sent.ID, "anna", notice.Acked)
		b.settled()
		if d := b.became(sent.ID, "anna"); d.SessionID != phone.SessionID || d.AckedAt == 0 {
			t.Errorf("the ledger: %+v", d)
		}
		if e, err := b.Notices.Get(t.Context(), sent.ID); err != nil || e.Acked != 1 {
			t.Errorf("the sum: %+v, %v", e, err)
		}
		if told := b.told("notice.acked"); len(told) != 1 || told[0]["noticeId"] != sent.ID || told[0]["userId"] != "anna" || told[0]["clientType"] != "app" {
			t.Errorf("the backend is told %v", told)
		}
	})
}

// What was acknowledged or read on another node, or has nobody here any more, is not sent again.
func TestNotSentAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db, func(m *Messages) { m.repeats.first = time.Second })
		for i, c := range []struct {
			why string
			do  func(user, noticeID string)
		}{
			{"acknowledged elsewhere", func(user, noticeID string) {
				_, err := b.Notices.Settle(t.Context(), []notice.Settlement{{NoticeID: noticeID, UserID: user, State: notice.Acked, At: 1}})
				fatal(t, err)
			}},
			{"read elsewhere", func(user, noticeID string) {
				_, err := b.Notices.Settle(t.Context(), []notice.Settlement{{NoticeID: noticeID, UserID: user, State: notice.Read, At: 1}})
				fatal(t, err)
			}},
			{"recalled elsewhere", func(_, noticeID string) {
				_, _, err := b.Notices.Recall(t.Context(), noticeID)
				fatal(t, err)
			}},
			{"read here", func(user, noticeID string) {
				_, err := b.ReadFor(t.Context(), user, Choice{IDs: []string{noticeID}})
				fatal(t, err)
			}},
			{"all read here", func(user, _ string) {
				_, err := b.ReadFor(t.Context(), user, Choice{All: true})
				fatal(t, err)
			}},
			{"all acknowledged here", func(user, _ string) {
				_, err := b.Settle(t.Context(), b.hall.Find(only(user))[0], false, Choice{All: true, Category: "system"})
				fatal(t, err)
			}},
			{"gone", func(user, _ string) { b.leave(b.hall.Find(only(user))[0]) }},
		} {
			user := fmt.Sprint("u", i)
			s := b.sit(user, "", "web")
			sent := b.post(Notice{Users: []string{user}, RequireAck: true})
			c.do(user, sent.ID)
			storetest.Eventually(t, func() bool { return b.repeats.len() == 0 }, c.why+": it is still sent again")
			if n := len(b.hall.of(s.SessionID, "notice")); n != 1 {
				t.Errorf("%s: it went out %d times", c.why, n)
			}
		}
	})
}

// To all, too, each user is waited for by himself. What waited for a user is sent again once it has gone out to him.
func TestSentAgainToEach(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db, func(m *Messages) { m.repeats.first = time.Hour })
		anna, ben := b.sit("anna", "", "web"), b.sit("ben", "", "web")
		all := b.post(Notice{All: true, RequireAck: true})
		waits := b.post(Notice{Users: []string{"carl"}, RequireAck: true})
		if n := b.repeats.len(); n != 2 {
			t.Fatalf("%d are waited for, want anna and ben", n)
		}
		b.Acked(anna, all.ID)
		b.becomes(all.ID, "anna", notice.Acked)
		carl := b.arrive("carl", "", "web")
		b.hears(carl, "notice", 2)
		b.becomes(waits.ID, "carl", notice.Sent)
		storetest.Eventually(t, func() bool { return b.repeats.len() == 3 }, "ben once and carl twice are not waited for")
		b.hears(ben, "notice", 1)
	})
}

// The number of pairs that are waited for is bounded; more are counted and not sent again.
func TestRepeatsAreBounded(t *testing.T) {
	r := newRepeats(time.Hour)
	all := make([]string, repeatsMost+5)
	for i := range all {
		all[i] = fmt.Sprint(i)
	}
	e := &errand{frame: frame{noticeID: "n"}}
	if lost := r.add(e, all); lost != 5 || r.len() != repeatsMost {
		t.Errorf("%d lost, %d kept", lost, r.len())
	}
	if r.end("n", "7"); r.len() != repeatsMost-1 {
		t.Errorf("%d after one end", r.len())
	}
	if r.end("n", ""); r.len() != 0 || len(r.heap) != 0 || len(r.byKey) != 0 {
		t.Errorf("%d, %d in the heap after the end of all", r.len(), len(r.heap))
	}
}

// Each acknowledgement of a notice went over all its users, under the lock that all of them need: what a whole company was told
// took so long to be acknowledged that nothing else was.
func TestAcknowledgingDoesNotGoOverEverybody(t *testing.T) {
	const users = 20_000
	took := func(noticeOf func(user int) string) time.Duration {
		r := newRepeats(time.Hour)
		for i := range users {
			r.add(&errand{frame: frame{noticeID: noticeOf(i)}}, []string{fmt.Sprint(i)})
		}
		begun := time.Now()
		for i := range users {
			r.end(noticeOf(i), fmt.Sprint(i))
			r.end(noticeOf(i), "nobody")
		}
		if n := r.len(); n != 0 {
			t.Fatalf("%d are left", n)
		}
		return time.Since(begun)
	}
	apart, together := took(func(i int) string { return fmt.Sprint("n", i) }), took(func(int) string { return "n" })
	if together > 10*apart+100*time.Millisecond {
		t.Errorf("%d acknowledgements of one notice take %v, of as many notices %v", users, together, apart)
	}
}
