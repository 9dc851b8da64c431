package notice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/id"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// to returns a stored notice for users.
func to(users ...string) Entry {
	e := Entry{Event: "notice", Category: "system", Stored: true, Message: json.RawMessage(`{"body":"hi"}`), Audience: len(users)}
	for _, user := range users {
		e.Deliveries = append(e.Deliveries, Delivery{UserID: user, State: Queued, At: 5})
	}
	return e
}

func post(t testing.TB, n *Notices, p Posting) Posted {
	t.Helper()
	posted, err := n.Post(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return posted
}

func whole(user string) View { return View{UserID: user, Whole: true} }

func unreadOf(t testing.TB, n *Notices, user string) int {
	t.Helper()
	u, err := n.Unread(t.Context(), whole(user))
	if err != nil {
		t.Fatal(err)
	}
	return u.Total
}

// What was posted comes back whole, from the log as from the inbox.
func TestPost(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		running(t, n)
		e := to(anna, "8")
		e.Envelope, e.Scope, e.ClientTypes, e.RequireAck = json.RawMessage(`{"title":"t"}`), room, []string{"app", "pc"}, true
		e.ExpiresAt, e.UnreachedAt = time.Now().Add(time.Hour).UnixMilli(), time.Now().Add(time.Minute).UnixMilli()
		var heard []Posted
		posted := post(t, n, Posting{Entry: e, After: func(p Posted) { heard = append(heard, p) }})
		expect(t, heard, []Posted{posted})
		items, _, err := n.Inbox(t.Context(), View{UserID: anna, ConferenceID: room, ClientType: "pc"}, InboxQuery{})
		if err != nil || len(items) != 1 {
			t.Fatal(items, err)
		}
		want := e
		want.ID, want.State, want.CreatedAt, want.SentAt = posted.ID, Sent, items[0].CreatedAt, items[0].CreatedAt
		want.Deliveries, want.UnreachedAt = nil, 0
		expect(t, items[0].Entry, want)
		if next, err := n.NextTask(t.Context()); err != nil || next != e.UnreachedAt {
			t.Errorf("the next task is at %d, %v", next, err)
		}
		if users, err := n.Recipients(t.Context(), posted.ID, "8", 5); err != nil || !slices.Equal(users, []string{anna}) {
			t.Errorf("recipients: %v, %v", users, err)
		}
	})
}

// A scheduled notice stands in the log where it will be sent, and in no inbox before.
func TestPostScheduled(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		running(t, n)
		e := to(anna)
		e.SendAt = time.Now().Add(time.Hour).UnixMilli()
		later := post(t, n, Posting{Entry: e})
		now := post(t, n, Posting{Entry: to(anna)})
		if later.ID < now.ID || unreadOf(t, n, anna) != 1 {
			t.Errorf("%s and %s, %d unread", later.ID, now.ID, unreadOf(t, n, anna))
		}
		changed, err := n.Settle(t.Context(), []Settlement{{NoticeID: later.ID, UserID: anna, State: Read, At: 1}})
		if err != nil || changed != nil {
			t.Errorf("read before it was sent: %v, %v", changed, err)
		}
		if _, fresh, err := n.Recall(t.Context(), later.ID); !fresh || err != nil {
			t.Fatal(fresh, err)
		}
		if next, err := n.NextTask(t.Context()); next != 0 || err != nil {
			t.Errorf("after the recall something is due at %d, %v", next, err)
		}
		if taken, err := n.Take(t.Context(), Task{later.ID, TaskSend, e.SendAt}); taken || err != nil {
			t.Errorf("taken after the recall: %v, %v", taken, err)
		}
	})
}

// A sender's number makes one notice, however many post it at once, in one batch or in several.
func TestPostOncePerNumber(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		one, two := open(db, time.Minute), open(db, time.Minute)
		running(t, one)
		running(t, two)
		var mu sync.Mutex
		var all sync.WaitGroup
		ids, fresh := map[string]bool{}, 0
		for i := range 40 {
			all.Go(func() {
				e := to(anna)
				e.SenderID = "8"
				posted, err := []*Notices{one, two}[i%2].Post(t.Context(), Posting{Entry: e, SenderMsgID: "n1", After: func(Posted) { mu.Lock(); fresh++; mu.Unlock() }})
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				ids[posted.ID] = true
			})
		}
		all.Wait()
		if len(ids) != 1 || fresh != 1 || unreadOf(t, one, anna) != 1 {
			t.Errorf("%d ids, %d times fresh, %d unread", len(ids), fresh, unreadOf(t, one, anna))
		}
		e := to(anna)
		e.SenderID = "9"
		if posted := post(t, one, Posting{Entry: e, SenderMsgID: "n1"}); !posted.Fresh {
			t.Error("the number of another sender was taken for the same")
		}
	})
}

// Within a transaction a posting goes with it, and After comes only with its commit. It needs no Run.
func TestPostJoins(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		broken := errors.New("broken")
		for _, want := range []error{broken, nil} {
			heard := 0
			err := db.Write(t.Context(), func(ctx context.Context, _ *gorm.DB) error {
				if _, err := n.Post(ctx, Posting{Entry: to(anna), After: func(Posted) { heard++ }}); err != nil {
					return err
				}
				if heard != 0 {
					t.Error("heard before the commit")
				}
				return want
			})
			if !errors.Is(err, want) || (heard == 1) != (want == nil) || unreadOf(t, n, anna) != heard {
				t.Errorf("%v: heard %d times, %d unread", err, heard, unreadOf(t, n, anna))
			}
		}
	})
}

// One posting that the database refuses, or whose After panics, does not harm the others of its batch.
func TestPostPoisoned(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		refuse(t, db)
		var order []string
		var waiters []*waiter
		for i := range 20 {
			e := to(anna)
			e.Label = fmt.Sprint(i)
			if e.State = Sent; i == 7 {
				e.Event = "poison"
			}
			p, err := complete(Posting{Entry: e, After: func(Posted) {
				if order = append(order, e.Label); i == 9 {
					panic("after")
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			waiters = append(waiters, &waiter{t.Context(), p, make(chan answer, 1)})
		}
		n.poster.commit(t.Context(), waiters)
		for i, w := range waiters {
			if a := <-w.done; (a.err != nil) != (i == 7) || fault.Is(a.err, fault.Unavailable) {
				t.Errorf("posting %d: %v", i, a.err)
			}
		}
		expect(t, strings.Join(order, " "), "0 1 2 3 4 5 6 8 9 10 11 12 13 14 15 16 17 18 19")
		if got := unreadOf(t, n, anna); got != 19 {
			t.Errorf("%d unread", got)
		}
	})
}

// refuse has the database refuse notices with the event poison.
func refuse(t *testing.T, db *store.DB) {
	trigger := "CREATE TRIGGER poison BEFORE INSERT ON notices FOR EACH ROW BEGIN IF NEW.event = 'poison' THEN SIGNAL SQLSTATE '45000'; END IF; END"
	if db.Dialect() == store.SQLite {
		trigger = "CREATE TRIGGER poison BEFORE INSERT ON notices WHEN NEW.event = 'poison' BEGIN SELECT RAISE(ABORT, 'poison'); END"
	}
	if _, err := db.SQL().ExecContext(t.Context(), trigger); err != nil {
		t.Fatal(err)
	}
}

// While the database is away every caller is told so, and when it is back it goes on.
func TestPostWhileAway(t *testing.T) {
	db, line := onLine(t)
	n := open(db, time.Minute)
	running(t, n)
	post(t, n, Posting{Entry: to(anna)})
	line.Cut()
	if _, err := n.Post(t.Context(), Posting{Entry: to(anna)}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("while away: %v", err)
	}
	line.Mend()
	storetest.Eventually(t, func() bool { _, err := n.Post(t.Context(), Posting{Entry: to(anna)}); return err == nil }, "posting works again")
	if got := unreadOf(t, n, anna); got != 2 {
		t.Errorf("%d unread", got)
	}
}

// The queue is bounded, who goes does not wait, and after the end of Run nobody waits for ever.
func TestPostRefuses(t *testing.T) {
	db := storetest.Open(t, store.SQLite)
	n := open(db, time.Minute)
	gone, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range postQueue {
		all.Go(func() {
			if _, err := n.Post(gone, Posting{Entry: to(anna)}); !fault.Is(err, fault.Unavailable) {
				t.Errorf("who went was told %v", err)
			}
		})
	}
	storetest.Eventually(t, func() bool { return len(n.poster.queue) == postQueue }, "a full queue")
	if _, err := n.Post(t.Context(), Posting{Entry: to(anna)}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("above the bound: %v", err)
	}
	cancel()
	all.Wait()
	ctx, stop := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { _ = n.Run(ctx) })
	storetest.Eventually(t, func() bool { _, err := n.Post(t.Context(), Posting{Entry: to(anna)}); return err == nil }, "room for another") // behind those who went
	stop()
	run.Wait()
	if got := unreadOf(t, n, anna); got != 1 {
		t.Errorf("%d unread, so what nobody waited for was written", got)
	}
	if _, err := n.Post(t.Context(), Posting{Entry: to(anna)}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("after the end: %v", err)
	}
	if _, err := n.Post(t.Context(), Posting{Entry: Entry{ClientTypes: []string{strings.Repeat("x", typeListMax)}}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("too many types of clients: %v", err)
	}
}

// An audience goes out in one transaction, also one twice as large as REST takes.
func TestPostToMany(t *testing.T) {
	storetest.EachFor(t, time.Minute, func(t *testing.T, db *store.DB) { // how quick the machine is, is not what this is about
		n := open(db, time.Minute)
		running(t, n)
		size := storetest.Size(20_000, 2000)
		users := make([]string, size)
		for i := range users {
			users[i] = fmt.Sprintf("user-%06d", i)
		}
		before := db.Transactions()
		started := time.Now()
		posted := post(t, n, Posting{Entry: to(users...)})
		storetest.Show(t, "%d users in %v", size, time.Since(started).Round(time.Millisecond))
		if db.Transactions() != before+1 || unreadOf(t, n, users[size-1]) != 1 {
			t.Errorf("%d transactions", db.Transactions()-before)
		}
		missed, err := n.Unreached(t.Context(), posted.ID)
		if err != nil || len(missed) != min(size, unreachedMax) {
			t.Errorf("%d unreached, %v", len(missed), err)
		}
		if _, fresh, err := n.Recall(t.Context(), posted.ID); !fresh || err != nil || unreadOf(t, n, users[0]) != 0 {
			t.Errorf("recall: %v, %v", fresh, err)
		}
	})
}

// What users who are reconnecting would miss is handed to one of their devices, to the one it fits.
func TestHeld(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		running(t, n)
		soon := time.Now().Add(time.Minute).UnixMilli()
		var held []Held
		for i := range 30 {
			held = append(held, Held{ID: at(int64(i)), UserID: anna, Event: "vote", Args: []json.RawMessage{json.RawMessage(fmt.Sprint(i)), json.RawMessage(`{"a":"\u003c"}`)}, ExpiresAt: soon})
		}
		held = append(held, Held{UserID: anna, Event: "old", ExpiresAt: 1}, Held{UserID: anna, Event: "app", ClientTypes: []string{"app"}, Scope: room, ExpiresAt: soon}, Held{UserID: "8", Event: "other", ExpiresAt: soon})
		e := to()
		e.Stored = false
		posted := post(t, n, Posting{Entry: e, Held: held})
		var all sync.WaitGroup
		var mu sync.Mutex
		var got []Held
		for range 4 {
			all.Go(func() {
				taken, err := n.TakeHeld(t.Context(), View{UserID: anna, ClientType: "web", ConferenceID: room})
				if err != nil || !slices.IsSortedFunc(taken, func(a, b Held) int { return strings.Compare(a.ID, b.ID) }) {
					t.Error(taken, err)
				}
				mu.Lock()
				defer mu.Unlock()
				got = append(got, taken...)
			})
		}
		all.Wait()
		for i := range held {
			held[i].NoticeID = posted.ID
		}
		slices.SortFunc(got, func(a, b Held) int { return strings.Compare(a.ID, b.ID) })
		expect(t, got, held[:30])
		waiting, err := n.Waiting(t.Context(), []string{anna, "8", "9"})
		if err != nil {
			t.Fatal(err)
		}
		expect(t, waiting, map[string]Waiting{anna: {Held: true}, "8": {Held: true}, "9": {}})
		if taken, err := n.TakeHeld(t.Context(), View{UserID: anna, ClientType: "app", ConferenceID: room}); err != nil || len(taken) != 1 || taken[0].Event != "app" {
			t.Errorf("taken by the app: %v, %v", taken, err)
		}
		if _, _, err := n.Recall(t.Context(), posted.ID); err != nil {
			t.Fatal(err)
		}
		if taken, err := n.TakeHeld(t.Context(), whole("8")); err != nil || len(taken) != 0 {
			t.Errorf("taken after the recall: %v, %v", taken, err)
		}
	})
}

// Nothing is known of an ID that was never given.
func TestRecallUnknown(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		for _, noticeID := range []string{"", "安", id.New(), "'\"\x00"} {
			if _, _, err := n.Recall(t.Context(), noticeID); !fault.Is(err, fault.NotFound) {
				t.Errorf("recall of %q: %v", noticeID, err)
			}
		}
	})
}

// A transaction takes what waits up to its bounds, in order, and what was too much for it begins the next.
func TestGather(t *testing.T) {
	p := newPoster(Config{})
	add := func(count, bytes, rows int) {
		e := Entry{Message: make(json.RawMessage, bytes), Deliveries: make([]Delivery, rows)}
		for range count {
			p.queue <- &waiter{ctx: t.Context(), posting: Posting{Entry: e}}
		}
	}
	add(postBatch+50, 10, 1)
	add(1, batchBytes-100, 1)
	add(1, 10, postDeliveries*2)
	add(3, 10, postDeliveries/2)
	var sizes []int
	for next := <-p.queue; next != nil; {
		var batch []*waiter
		batch, next = p.gather(next)
		sizes = append(sizes, len(batch))
		if next == nil && len(p.queue) > 0 {
			next = <-p.queue
		}
	}
	expect(t, sizes, []int{postBatch, 50, 1, 1, 2, 1})
}
