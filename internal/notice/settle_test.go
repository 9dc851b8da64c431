package notice

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

func settle(t *testing.T, n *Notices, list ...Settlement) []Settlement {
	t.Helper()
	changed, err := n.Settle(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

// What a notice is for a user only rises, and what is no news is no change.
func TestSettleRises(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		rises := map[string]string{
			Queued:    "sent acked read unreached",
			Sent:      "acked read unreached queued", // queued by the same session only
			Acked:     "read",
			Read:      "",
			Unreached: "sent acked read",
			Expired:   "",
			Recalled:  "",
		}
		for from, want := range rises {
			got := ""
			for _, state := range []string{Sent, Acked, Read, Unreached, Queued} {
				e := Entry{ID: at(time.Now().UnixMilli()), Event: "notice", State: Sent, Stored: true, SentAt: 1, Deliveries: []Delivery{{UserID: anna, State: from, At: 1, SessionID: "s1"}}}
				put(t, n, e)
				if other := settle(t, n, Settlement{NoticeID: e.ID, UserID: anna, State: Queued, At: 2, SessionID: "s2"}); other != nil {
					t.Errorf("%s was taken back by another session", from)
				}
				s := Settlement{NoticeID: e.ID, UserID: anna, State: state, At: 9, SessionID: "s1", ClientType: "app", DeviceID: "d", IP: "::1"}
				changed := settle(t, n, s, s)
				if again := settle(t, n, s); again != nil {
					t.Errorf("%s after %s was news twice", state, from)
				}
				if len(changed) > 0 {
					got += " " + state
					expect(t, changed, []Settlement{s})
					items, _, err := n.Deliveries(t.Context(), e.ID, "", 0)
					if err != nil || items[0].State != state || items[0].At != 9 || (items[0].SessionID == "s1") != (state != Queued) || (items[0].AckedAt == 9) != (state == Acked) || (items[0].ReadAt == 9) != (state == Read) {
						t.Errorf("%s after %s: %+v, %v", state, from, items, err)
					}
				}
				if _, err := db.SQL().Exec("DELETE FROM notices"); err != nil {
					t.Fatal(err)
				}
				if _, err := db.SQL().Exec("DELETE FROM notice_deliveries"); err != nil {
					t.Fatal(err)
				}
			}
			if got != "" {
				got = got[1:]
			}
			if got != want {
				t.Errorf("from %s: %q, want %q", from, got, want)
			}
		}
	})
}

// Two devices of each of many users acknowledge at once, over two nodes: each user once, and the sum is exact.
func TestSettleAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		nodes := []*Notices{open(db, time.Minute), open(db, time.Minute)}
		running(t, nodes[0])
		var names []string
		for i := range 30 {
			names = append(names, fmt.Sprintf("user%02d", i))
		}
		one, two := post(t, nodes[0], Posting{Entry: to(names...)}), post(t, nodes[0], Posting{Entry: Entry{Event: "notice", ToAll: true, Stored: true}})
		var mu sync.Mutex
		var all sync.WaitGroup
		news := map[string]int{}
		for i := range 60 {
			all.Go(func() {
				user := names[i/2]
				list := []Settlement{{NoticeID: one.ID, UserID: user, State: Acked, At: 1}, {NoticeID: two.ID, UserID: user, State: Acked, At: 1}}
				changed, err := nodes[i%2].Settle(t.Context(), list)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				news[user] += len(changed)
			})
		}
		all.Wait()
		for _, user := range names {
			if news[user] != 2 {
				t.Errorf("%s: news %d times, want 2", user, news[user])
			}
		}
		for _, posted := range []Posted{one, two} {
			if e, err := nodes[0].Get(t.Context(), posted.ID); err != nil || e.Acked != 30 || e.Sent != 30 {
				t.Errorf("%d acked, %d sent, want 30; %v", e.Acked, e.Sent, err)
			}
		}
	})
}

// A recall and whoever settles at the same moment: in the end it is in no inbox and nothing raises it.
func TestRecallAgainstSettle(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		running(t, n)
		for range storetest.Size(50, 5) {
			posted := post(t, n, Posting{Entry: to(anna, "8", "9")})
			var all sync.WaitGroup
			for _, user := range []string{anna, "8", "9"} {
				all.Go(func() {
					for _, state := range []string{Sent, Acked, Read} {
						if _, err := n.Settle(t.Context(), []Settlement{{NoticeID: posted.ID, UserID: user, State: state, At: 1}}); err != nil {
							t.Error(err)
						}
					}
				})
			}
			all.Go(func() {
				if _, _, err := n.Recall(t.Context(), posted.ID); err != nil {
					t.Error(err)
				}
			})
			all.Wait()
			items, _, err := n.Deliveries(t.Context(), posted.ID, "", 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range items {
				if d.State != Recalled {
					t.Errorf("after the recall %s has it as %s", d.UserID, d.State)
				}
			}
			if reached, err := n.Reaches(t.Context(), whole(anna), []string{posted.ID}); err != nil || reached != nil {
				t.Errorf("still in the inbox: %v, %v", reached, err)
			}
		}
	})
}

// What is not the user's stays as it is: another's, an unknown one, no ID at all; to all, what excepts him, what ended
// before he was known, what has not gone out.
func TestSettleWhatIsNotHis(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		running(t, n)
		now := time.Now().UnixMilli()
		all := Entry{Event: "notice", ToAll: true, Stored: true}
		excepts, ended, later := all, all, all
		excepts.Except, ended.ExpiresAt, later.SendAt = []string{"x", anna}, now-1000, now+100_000
		ids := []string{"", "1", "'\x00", "安", at(7), post(t, n, Posting{Entry: to("8")}).ID}
		for _, e := range []Entry{excepts, ended, later} {
			ids = append(ids, post(t, n, Posting{Entry: e}).ID)
		}
		for _, noticeID := range ids {
			for _, state := range []string{Sent, Acked, Read, Unreached, Queued} {
				if changed := settle(t, n, Settlement{NoticeID: noticeID, UserID: anna, State: state, At: 1}); changed != nil {
					t.Errorf("%q became %s", noticeID, state)
				}
			}
		}
		if reached, err := n.Reaches(t.Context(), whole(anna), ids); err != nil || reached != nil {
			t.Errorf("reaches %v, %v", reached, err)
		}
		if _, err := n.Settle(t.Context(), []Settlement{{NoticeID: ids[4], UserID: anna, State: "eaten"}}); err == nil {
			t.Error("a state that is none was taken")
		}
		mine := post(t, n, Posting{Entry: all})
		if changed := settle(t, n, Settlement{NoticeID: mine.ID, UserID: anna, State: Read, At: 1}); len(changed) != 1 || unreadOf(t, n, anna) != 0 || unreadOf(t, n, "8") != 3 {
			t.Errorf("read to all: %v, %d unread, of 8 %d", changed, unreadOf(t, n, anna), unreadOf(t, n, "8"))
		}
	})
}

// Read-all reads nothing unseen: a notice that commits after it with an older time is still unread, and so is one that
// another socket would have been shown. A second mark never goes back.
func TestReadAllLeavesTheUnseen(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		running(t, n)
		now := time.Now().UnixMilli()
		toAll := func(ago int64, scope string) Entry {
			return Entry{Event: "notice", Category: "remind", ToAll: true, Stored: true, SentAt: now - ago, Scope: scope}
		}
		read := func(v View, category string, want int) {
			t.Helper()
			if changed, err := n.SettleAll(t.Context(), v, category, Settlement{State: Read, At: now}, nil); err != nil || changed != want {
				t.Errorf("%d changed, want %d; %v", changed, want, err)
			}
		}
		for _, e := range []Entry{toAll(300_000, ""), toAll(200_000, room), toAll(100_000, ""), toAll(1000, "")} {
			post(t, n, Posting{Entry: e})
		}
		lobby := View{UserID: anna, ClientType: "web"}
		read(lobby, "announcement", 0)
		read(lobby, "", 3)
		read(lobby, "remind", 0)
		if got := unreadOf(t, n, anna); got != 1 {
			t.Errorf("%d unread, want the one in the conference", got)
		}
		post(t, n, Posting{Entry: toAll(30_000, "")})
		if got := unreadOf(t, n, anna); got != 2 {
			t.Errorf("%d unread after a late commit, want 2", got)
		}
		read(whole(anna), "remind", 2)
		n.now = func() int64 { return now - 150_000 } // as another node with a slow clock
		read(whole(anna), "remind", 0)
		n.now = func() int64 { return now }
		check(t, n.raiseMark(t.Context(), markRow{anna, "remind", now - 250_000})) // by another device, that asked first
		if got := unreadOf(t, n, anna); got != 0 {
			t.Errorf("%d unread at last", got)
		}
		post(t, n, Posting{Entry: toAll(20_000, "")})
		if got := unreadOf(t, n, anna); got != 1 {
			t.Errorf("%d unread after another late commit, want 1", got)
		}
	})
}

// In a transaction that fails, nothing was settled; in one that commits, all of it.
func TestSettleJoins(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		running(t, n)
		posted := post(t, n, Posting{Entry: to(anna)})
		post(t, n, Posting{Entry: Entry{Event: "notice", ToAll: true, Stored: true, SentAt: time.Now().UnixMilli() - 100_000}})
		for _, want := range []error{errors.New("broken"), nil} {
			err := db.Write(t.Context(), func(ctx context.Context, _ *gorm.DB) error {
				if changed, err := n.Settle(ctx, []Settlement{{NoticeID: posted.ID, UserID: anna, State: Acked, At: 1}}); err != nil || len(changed) != 1 {
					t.Errorf("%v, %v", changed, err)
				}
				if changed, err := n.SettleAll(ctx, whole(anna), "", Settlement{State: Read, At: 1}, nil); err != nil || changed != 2 {
					t.Errorf("%d changed, %v", changed, err)
				}
				return want
			})
			if unread := unreadOf(t, n, anna); !errors.Is(err, want) || (unread == 2) != (want != nil) {
				t.Errorf("%v: %d unread", err, unread)
			}
		}
		for _, bad := range []string{"\xff", "a\x00"} {
			if _, err := n.SettleAll(t.Context(), whole(anna), bad, Settlement{State: Read}, nil); !fault.Is(err, fault.Invalid) {
				t.Errorf("category %q: %v", bad, err)
			}
		}
	})
}
