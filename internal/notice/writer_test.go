package notice

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/internal/fault"
	"rollcall/internal/rescue"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// shelf is a log whose state a test decides.
type shelf struct {
	mu      sync.Mutex
	away    bool
	rows    []string
	batches int
}

func (s *shelf) append(_ context.Context, entries []Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		if s.away {
			return fault.Away(errors.New("gone"))
		} else if e.Label == "poison" {
			return errors.New("refused")
		} else if e.Label == "bug" {
			panic("a bug")
		}
	}
	for _, e := range entries {
		s.rows = append(s.rows, e.Label)
	}
	s.batches++
	return nil
}

func (s *shelf) set(away bool) { s.mu.Lock(); s.away = away; s.mu.Unlock() }

// onShelf returns a writer to the shelf, and what stops its run and waits for the end.
func onShelf(t *testing.T, s *shelf) (w *writer, stop func()) {
	w = newWriter(s.append, New(Config{Log: silent()}).metrics.dropped, rescue.New(silent(), nil), silent())
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.run(ctx) })
	return w, func() { cancel(); running.Wait() }
}

// Rows of a moment share a transaction, and a stop writes what waits.
func TestLaterIsBatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		w, stop := onShelf(t, s)
		for range 3 {
			w.add(Entry{Label: "a", Message: json.RawMessage("1")})
		}
		<-time.After(time.Second)
		synctest.Wait()
		if len(s.rows) != 3 || s.batches != 1 || w.bytes.Load() != 0 {
			t.Errorf("%d rows in %d batches, %d bytes waiting", len(s.rows), s.batches, w.bytes.Load())
		}
		for range 1000 {
			w.add(Entry{Label: "b"})
		}
		stop()
		if len(s.rows) != 1003 {
			t.Errorf("%d rows after the stop", len(s.rows))
		}
	})
}

// Rows wait for the database, each is written once, and one that is refused does not keep the others out.
func TestLaterWaitsForTheDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{away: true}
		w, stop := onShelf(t, s)
		for _, label := range []string{"a", "poison", "b"} {
			w.add(Entry{Label: label})
		}
		<-time.After(time.Minute)
		synctest.Wait()
		s.set(false)
		w.add(Entry{Label: "c"})
		<-time.After(2 * time.Second)
		synctest.Wait()
		expect(t, strings.Join(s.rows, ""), "abc")
		if lost := total(t, w.dropped); lost != 1 {
			t.Errorf("%v dropped", lost)
		}
		s.set(true)
		w.add(Entry{Label: "d"})
		stop()
		if lost := total(t, w.dropped); lost != 2 {
			t.Errorf("%v dropped after the stop", lost)
		}
	})
}

// The queue is bounded in rows and in bytes; what does not fit is counted.
func TestLaterIsBounded(t *testing.T) {
	n := New(Config{Log: silent()})
	for range laterQueue + 5 {
		n.AppendLater(Entry{})
	}
	if lost := total(t, n.metrics.dropped); lost != 5 {
		t.Errorf("%v rows dropped", lost)
	}
	n = New(Config{Log: silent()})
	large := json.RawMessage(strings.Repeat(" ", laterBytes/4))
	for range 6 {
		n.AppendLater(Entry{Message: large})
	}
	if lost := total(t, n.metrics.dropped); lost != 2 {
		t.Errorf("%v large rows dropped", lost)
	}
}

// The whole way: what is given to AppendLater is found in the log, with ID and time.
func TestAppendLater(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := n.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		n.AppendLater(Entry{Event: "note_tree", State: Sent, Message: json.RawMessage(`{"version":1}`)})
		storetest.Eventually(t, func() bool { return len(log(t, n)) == 1 }, "a row in the log")
		n.AppendLater(Entry{Event: "note_tree", State: Sent})
		cancel()
		running.Wait()
		items, _, err := n.Find(t.Context(), Filter{})
		if err != nil || len(items) != 2 || items[0].CreatedAt == 0 {
			t.Errorf("%+v, %v", items, err)
		}
	})
}

// A row that breaks the writer is dropped like one that the database refuses.
func TestLaterBug(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		w, stop := onShelf(t, s)
		for _, label := range []string{"a", "bug", "b"} {
			w.add(Entry{Label: label})
		}
		time.Sleep(time.Second)
		w.add(Entry{Label: "c"})
		stop()
		expect(t, strings.Join(s.rows, " "), "a b c")
	})
}

// A posting that breaks the poster is answered with an error, as is everyone who posts beside it or later, and the loop
// goes on.
func TestPostBug(t *testing.T) {
	n := New(Config{Log: silent()}) // without a database
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { n.poster.run(ctx) })
	for range 3 {
		if _, err := n.Post(t.Context(), Posting{Entry: to(anna)}); !errors.Is(err, rescue.ErrPanic) {
			t.Errorf("got %v", err)
		}
	}
	stop()
	running.Wait()
}
