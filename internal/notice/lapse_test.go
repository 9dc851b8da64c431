package notice

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"rollcall/internal/id"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// What was kept for a user who did not come back waited in the ledger for ever. Soon after his grace it has not reached
// him, once, whichever of two nodes ends it; what he was sent by another way, and what still waits, stays.
func TestLapse(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		nodes := []*Notices{open(db, time.Minute), open(db, time.Minute)}
		n, now := nodes[0], time.Now().UnixMilli()
		running(t, n)
		const users = rowBatch + 50
		e := Entry{Event: "exam", State: Sent}
		var held []Held
		for i := range users {
			user, end := fmt.Sprintf("u%03d", i), now-lapseAfter.Milliseconds()
			d := Delivery{UserID: user, State: Queued, At: 1}
			switch i {
			case 0:
				end = now + 60_000
			case 1:
				d.State, d.SessionID = Sent, "s"
			}
			e.Deliveries = append(e.Deliveries, d)
			held = append(held, Held{UserID: user, Event: "exam", ExpiresAt: end})
		}
		posted := post(t, n, Posting{Entry: e, Held: held})
		check(t, n.Hold(t.Context(), []Held{{ID: id.New(), UserID: "u000", Event: "attend_login", ExpiresAt: 1}}))
		var work sync.WaitGroup
		for _, node := range nodes {
			work.Go(func() { check(t, node.lapse(t.Context())) })
		}
		work.Wait()
		if left := column(t, db, "notice_held", "user_id"); left != "u000" || column(t, db, "notice_held", "event") != "exam" {
			t.Errorf("kept for %q", left)
		}
		count := map[string]int{}
		for cursor, more := "", true; more; more = cursor != "" {
			items, next, err := n.Deliveries(t.Context(), posted.ID, cursor, 200)
			check(t, err)
			for _, d := range items {
				count[d.State]++
			}
			cursor = next
		}
		expect(t, count, map[string]int{Queued: 1, Sent: 1, Unreached: users - 2})
	})
}

// Run ends it by itself, and a message that was recalled meanwhile stays recalled.
func TestLapseByItself(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		running(t, n)
		e := Entry{Event: "exam", State: Sent, Deliveries: []Delivery{{UserID: anna, State: Queued}}}
		gone := post(t, n, Posting{Entry: e, Held: []Held{{UserID: anna, Event: "exam", ExpiresAt: 1}}})
		recalled := post(t, n, Posting{Entry: e})
		_, _, err := n.Recall(t.Context(), recalled.ID)
		check(t, err)
		check(t, n.Hold(t.Context(), []Held{{UserID: anna, NoticeID: recalled.ID, Event: "exam", ExpiresAt: 1}}))
		state := func(noticeID string) string {
			items, _, err := n.Deliveries(t.Context(), noticeID, "", 0)
			check(t, err)
			return items[0].State
		}
		storetest.Eventually(t, func() bool { return state(gone.ID) == Unreached }, "it still waits")
		storetest.Eventually(t, func() bool { return column(t, db, "notice_held", "id") == "" }, "it is still kept")
		if got := state(recalled.ID); got != Recalled {
			t.Errorf("the recalled one is %s", got)
		}
	})
}
