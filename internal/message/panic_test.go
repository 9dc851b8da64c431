package message

import (
	"testing"
	"time"

	"rollcall/internal/notice"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// A bug that shows while a notice is sent again costs a round, and neither the notice nor those of other people.
func TestPanicWhileSendingAgain(t *testing.T) {
	b := open(t, storetest.Open(t, store.SQLite), soon)
	s := b.sit("anna", "", "web")
	sent := b.post(Notice{Users: []string{"anna"}, RequireAck: true})
	b.hall.do(func() { b.hall.before = func() { panic("a bug") } })
	storetest.Eventually(t, func() bool { return b.repeats.len() == 0 }, "it is sent again for ever")
	times := 0
	for _, e := range b.hall.of(s.SessionID, "notice") {
		if e.noticeID == sent.ID {
			times++
		}
	}
	if times != rounds {
		t.Errorf("it went out %d times; once, and in each of %d rounds but one", times, rounds)
	}
}

// What waits for one arrival and breaks does not keep from the others what waits for them.
func TestPanicWhileBringing(t *testing.T) {
	b := open(t, storetest.Open(t, store.SQLite))
	b.post(Notice{Users: []string{"anna", "ben"}})
	b.hall.do(func() { b.hall.before = func() { panic("a bug") } })
	anna, ben := b.arrive("anna", "", "web"), b.arrive("ben", "", "web")
	heard := func() int {
		return len(b.hall.of(anna.SessionID, "push_message")) + len(b.hall.of(ben.SessionID, "push_message"))
	}
	storetest.Eventually(t, func() bool { return heard() == 1 }, "nobody is brought what waits for him")
	again := b.arrive("anna", "", "web")
	storetest.Eventually(t, func() bool { return len(b.hall.of(again.SessionID, "push_message")) == 1 }, "nothing is brought any more")
}

// Marks that cannot be written because of a bug are dropped one by one: they come to an end.
func TestPanicWhileSettling(t *testing.T) {
	b := open(t, storetest.Open(t, store.SQLite))
	b.stop()
	b.Notices = nil
	list := make([]mark, 5)
	for i := range list {
		list[i] = mark{Settlement: notice.Settlement{UserID: "anna", At: time.Now().UnixMilli()}}
	}
	if err := b.writeMarks(t.Context(), list); err != nil {
		t.Errorf("they are to be written again: %v", err)
	}
}
