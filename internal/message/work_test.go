package message

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/prometheus/client_golang/prometheus"

	"rollcall/internal/hall"
	"rollcall/internal/notice"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
	migrations "rollcall/sql"
)

// An acknowledgement that comes while the database is away is written when it is back, and so is who arrives brought
// what waits.
func TestDatabaseAway(t *testing.T) {
	c := storetest.DSN(t, store.MySQL)
	dsn, err := mysql.ParseDSN(c.DSN)
	fatal(t, err)
	line := storetest.NewLine(t, dsn.Addr)
	dsn.Addr = line.Addr()
	c.DSN = dsn.FormatDSN()
	db := storetest.OpenConfig(t, c)
	fatal(t, migrations.Up(t.Context(), db.SQL(), store.MySQL))
	b := open(t, db)
	anna := b.sit("anna", "", "web")
	sent := b.post(Notice{Users: []string{"anna", "ben"}})
	line.Cut()
	if _, err := b.Send(t.Context(), Notice{Users: []string{"anna"}, Event: "notice", Category: "system"}); err == nil {
		t.Error("a notice was sent without a database")
	}
	b.Acked(anna, sent.ID)
	ben := b.arrive("ben", "", "web")
	storetest.Eventually(t, func() bool { return b.failed("write down what became of notices") && b.failed("bring what waits") }, "nobody notices that the database is away")
	line.Mend()
	b.becomes(sent.ID, "anna", notice.Acked)
	b.hears(ben, "push_message", 1)
	b.hears(anna, "notice", 1)
}

// failed reports whether work has failed.
func (b *bench) failed(work string) bool {
	reg := prometheus.NewRegistry()
	reg.MustRegister(b.metrics.errors)
	families, err := reg.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == work {
				return true
			}
		}
	}
	return false
}

// Everybody comes at once: few transactions look for all, and who has something waiting gets it.
func TestJoinStorm(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		people := storetest.Size(5000, 600)
		for i := range 5 {
			b.post(Notice{Users: []string{fmt.Sprint("u", i*100)}})
		}
		b.settled()
		before, start := db.Transactions(), time.Now()
		sockets := make([]hall.Socket, people)
		for i := range people {
			sockets[i] = b.arrive(fmt.Sprint("u", i), "", "web")
		}
		storetest.EventuallyWithin(t, time.Minute, func() bool { return b.arrivals.queue.len() == 0 }, "arrivals wait") // SQLite takes as long as the disk does
		for i := 0; i < 500; i += 100 {
			b.hears(sockets[i], "push_message", 1)
		}
		b.settled()
		took, written := time.Since(start), db.Transactions()-before
		for i, s := range sockets {
			want := 0
			if i%100 == 0 && i < 500 {
				want = 1
			}
			if n := len(b.hall.of(s.SessionID, "push_message")); n != want {
				t.Errorf("%s hears push_message %d times, want %d", s.UserID, n, want)
			}
		}
		if written > int64(people/10) {
			t.Errorf("%d transactions for %d arrivals", written, people)
		}
		storetest.Show(t, "%d people at once are brought what waits within %v, %d transactions that write", people, took.Round(time.Millisecond), written)
	})
}

// More arrive than there is room for: all sockets are looked at, and nobody is lost.
func TestArrivalsOverflow(t *testing.T) {
	b := open(t, storetest.Open(t, store.SQLite), func(m *Messages) { m.arrivals.queue.most = 1 })
	const people = 100
	for i := range people {
		b.post(Notice{Users: []string{fmt.Sprint("u", i)}})
	}
	b.arrivals.queue.most = 0 // nobody finds room
	sockets := make([]hall.Socket, people)
	for i := range people {
		sockets[i] = b.arrive(fmt.Sprint("u", i), "", "web")
	}
	if n := b.arrivals.queue.len(); n != 0 {
		t.Fatalf("%d found room", n)
	}
	b.arrivals.queue.putBack([]arrival{{Socket: sockets[0]}}) // the one that the worker was busy with
	b.arrivals.queue.mu.Lock()
	b.arrivals.queue.most = arrivalsMost
	b.arrivals.queue.mu.Unlock()
	for _, s := range sockets {
		storetest.Eventually(t, func() bool { return len(b.hall.of(s.SessionID, "push_message")) > 0 }, s.UserID+" is lost")
	}
}

// A panic in work is noted, and the work goes on.
func TestPanicIsCaught(t *testing.T) {
	b := open(t, storetest.Open(t, store.SQLite))
	ctx, cancel := context.WithCancel(t.Context())
	times := 0
	b.keep(ctx, "break", func(context.Context) error {
		if times++; times == 2 {
			cancel()
		}
		panic("broken")
	})
	if times != 2 || !b.failed("break") {
		t.Errorf("ran %d times", times)
	}
}

// The queue keeps its order and its bound, whoever pushes and puts back.
func TestQueue(t *testing.T) {
	q := newQueue[int](100)
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for i := range 50 {
				q.push(i)
			}
		})
	}
	work.Wait()
	if q.len() != 100 || q.push(1, 2) != 0 {
		t.Errorf("%d in a queue of 100", q.len())
	}
	q = newQueue[int](5)
	if n := q.push(1, 2, 3, 4, 5, 6); n != 5 {
		t.Errorf("%d found room", n)
	}
	taken := q.take(t.Context(), 2)
	q.push(6)
	q.putBack(taken)
	if got := q.now(10); !slices.Equal(got, []int{1, 2, 3, 4, 5, 6}) {
		t.Errorf("got %v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := q.take(ctx, 1); got != nil {
		t.Errorf("an empty queue gave %v", got)
	}
}

// extend keeps every field of an object that is not overridden, with its text, and makes valid JSON of whatever.
func FuzzExtend(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1.10,"a":2}`, `{"\u0069d":{"x":[1, 2]}}`, ` { "k" : null } `, `{"<\ud800>":"\u2028"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		var fields map[string]json.RawMessage
		if json.Unmarshal(object, &fields) != nil || fields == nil {
			return
		}
		out, err := extend(object, json.RawMessage(`{"id":"x","createdAt":1}`))
		if err != nil {
			t.Fatalf("%q: %v", object, err)
		}
		var got map[string]json.RawMessage
		if err := json.Unmarshal(out, &got); err != nil || string(got["id"]) != `"x"` {
			t.Fatalf("%q made %q: %v", object, out, err)
		}
		for name, value := range fields {
			if name != "id" && name != "createdAt" && string(got[name]) != string(value) {
				t.Errorf("%q: %q is %q in %q", object, name, got[name], out)
			}
		}
	})
}
