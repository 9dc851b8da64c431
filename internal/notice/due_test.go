package notice

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// Of the nodes that find the same task, one takes it. Tasks of the future are not found.
func TestTakeOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		nodes := []*Notices{open(db, time.Minute), open(db, time.Minute), open(db, time.Minute)}
		running(t, nodes[0])
		now := time.Now().UnixMilli()
		for i := range 20 {
			e := to(anna)
			e.SendAt, e.ExpiresAt = now-int64(i), now+100_000
			post(t, nodes[0], Posting{Entry: e})
		}
		var taken atomic.Int64
		var all sync.WaitGroup
		for _, n := range nodes {
			all.Go(func() {
				tasks, err := n.Tasks(t.Context(), 100)
				if err != nil {
					t.Error(err)
				}
				for i, task := range tasks {
					if i > 0 && task.DueAt < tasks[i-1].DueAt || task.Kind != TaskSend {
						t.Errorf("%+v at %d", task, i)
					}
					mine, err := n.Take(t.Context(), task)
					if err != nil {
						t.Error(err)
					}
					if mine {
						taken.Add(1)
						check(t, n.MarkSent(t.Context(), task.NoticeID, now, 0))
					}
				}
			})
		}
		all.Wait()
		if next, err := nodes[0].NextTask(t.Context()); err != nil || taken.Load() != 20 || next != now+100_000 {
			t.Errorf("taken %d times, next at %d, %v", taken.Load(), next, err)
		}
		if got := unreadOf(t, nodes[0], anna); got != 20 {
			t.Errorf("%d unread", got)
		}
	})
}

// Whom a notice did not reach is told once; it stays in their inboxes until it expires.
func TestUnreached(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		running(t, n)
		for requireAck, want := range map[bool][]string{true: {"a", "b"}, false: {"a"}} {
			e := to("a", "b", "c", "d")
			e.RequireAck = requireAck
			posted := post(t, n, Posting{Entry: e})
			for i, state := range []string{Sent, Acked, Read} {
				settle(t, n, Settlement{NoticeID: posted.ID, UserID: []string{"b", "c", "d"}[i], State: state, At: 1, SessionID: "s"})
			}
			for _, missed := range [][]string{want, nil} {
				users, err := n.Unreached(t.Context(), posted.ID)
				check(t, err)
				expect(t, append([]string{}, users...), append([]string{}, missed...))
			}
			if reached, err := n.Reaches(t.Context(), whole("a"), []string{posted.ID}); err != nil || len(reached) != 1 {
				t.Errorf("in the inbox: %v, %v", reached, err)
			}
			check(t, n.Expire(t.Context(), posted.ID))
			e, err := n.Get(t.Context(), posted.ID)
			check(t, err)
			expect(t, []any{e.State, e.Sent, e.Acked, e.Read}, []any{Sent, 3, 1, 1})
			if reached, err := n.Reaches(t.Context(), whole("a"), []string{posted.ID}); err != nil || reached != nil {
				t.Errorf("in the inbox after the end: %v, %v", reached, err)
			}
		}
		if users, err := n.Unreached(t.Context(), "unknown"); err != nil || users != nil {
			t.Errorf("unreached of an unknown notice: %v, %v", users, err)
		}
	})
}
