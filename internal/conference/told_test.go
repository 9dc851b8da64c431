package conference

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"gorm.io/gorm"

	"rollcall/internal/presence"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// The backend is told who comes and goes, in the order in which it happened, and when the last one is gone.
func TestBackendIsTold(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b, yes := build(t, db, nil), true
		if err := b.presence.PutUsers(t.Context(), []presence.User{{ID: "anna", Name: "Anna"}}); err != nil {
			t.Fatal(err)
		}
		one := b.arrive(t, "anna", "42")
		two := b.arrive(t, "anna", "42") // her second device is no news
		ben := b.arrive(t, "ben", "42")
		b.Leave(one, presence.Left)
		b.Leave(two, presence.Lost) // reconnecting is no news either
		told := func(n int) []string {
			storetest.Eventually(t, func() bool { return len(b.told(t, "42")) >= n }, "the backend is not told")
			return b.told(t, "42")
		}
		told(3)
		b.Leave(ben, presence.Left)
		told(5)
		if _, err := b.Register(t.Context(), "42", Registration{Ended: &yes}); err != nil {
			t.Fatal(err)
		}
		want := []string{
			`presence.online {"online":1,"userId":"anna","userName":"Anna"}`,
			`presence.online {"online":2,"userId":"ben","userName":""}`,
			`presence.offline {"online":1,"reason":"lost","userId":"anna","userName":"Anna"}`,
			`presence.offline {"online":0,"reason":"left","userId":"ben","userName":""}`,
			`conference.empty {"online":0}`,
			`conference.ended {}`,
		}
		if got := told(len(want)); !slices.Equal(got, want) {
			t.Errorf("the backend is told\n%q, want\n%q", got, want)
		}
	})
}

// Who is barred does not come in, from the moment at which that is committed, and others do.
func TestBars(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := build(t, db, nil)
		b.arrive(t, "anna", "42")
		until := now() + 60_000
		for user, conf := range map[string]string{"anna": "42", "ben": ""} {
			if err := b.presence.Bar(t.Context(), user, conf, until); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []struct {
			user, conf string
			barred     bool
		}{{"anna", "42", true}, {"anna", "43", false}, {"anna", "", false}, {"ben", "42", true}, {"ben", "43", true}, {"ben", "", true}, {"carl", "42", false}} {
			_, err := b.Arrive(t.Context(), newSession(c.user, c.conf))
			if errors.Is(err, errBarred) != c.barred || !c.barred && err != nil {
				t.Errorf("%s into %q: %v, barred %v", c.user, c.conf, err, c.barred)
			}
		}
		if err := b.presence.Bar(t.Context(), "anna", "42", 1); err != nil {
			t.Fatal(err)
		}
		b.arrive(t, "anna", "42")
	})
}

// A panic in the background costs nobody the process, nor the room what it was to be shown.
func TestPanicIsCaught(t *testing.T) {
	b := build(t, storetest.Open(t, store.SQLite), nil)
	b.hall.do(func() {
		left := 2
		b.hall.trip = func() {
			if left--; left >= 0 {
				panic("the hall is on fire")
			}
		}
	})
	b.arrive(t, "anna", "42")
	b.shows(t, "headData", `{"onLineNumber":1}`)
	if n := b.counted(t, "rollcall_conference_panics_total"); n != 2 {
		t.Errorf("%v panics were counted", n)
	}
}

// Somebody is barred while he is on his way in: he was looked at before, and whoever sends barred users out looked for
// his session before it was there. He used to stay in.
func TestBarredOnTheWay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := build(t, db, nil)
		b.arrive(t, "ben", "42")
		s, arrived := newSession("anna", "42"), make(chan error, 1)
		err := db.Write(t.Context(), func(ctx context.Context, tx *gorm.DB) error {
			if err := presence.Lock(ctx, tx, []string{"42"}); err != nil { // his session cannot be committed meanwhile
				return err
			}
			go func() { _, err := b.Arrive(t.Context(), s); arrived <- err }()
			storetest.Eventually(t, func() bool { return b.Holds(s.ID) }, "he is not on his way")
			return b.presence.Bar(ctx, "anna", "", now()+60_000)
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := <-arrived; !errors.Is(err, errBarred) {
			t.Errorf("who was barred on the way in: %v", err)
		}
		storetest.Eventually(t, func() bool { return b.stateOf(t, "anna") == presence.Offline && !b.Holds(s.ID) }, "he is still in")
		if got := b.stateOf(t, "ben"); got != presence.Online {
			t.Errorf("ben is %s", got)
		}
	})
}

// stateOf returns what is said of a user in conference 42.
func (b *built) stateOf(t *testing.T, user string) presence.State {
	t.Helper()
	who := [2]string{"42", user}
	states, err := b.presence.StateOf(t.Context(), [][2]string{who})
	if err != nil {
		t.Fatal(err)
	}
	return states[who].State
}

// All who arrive during a look share the next one, also while somebody is barred: it used to be one query for each.
func TestBarsAreAskedForTogether(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := build(t, db, nil)
		if err := b.presence.Bar(t.Context(), "u7", "", now()+60_000); err != nil {
			t.Fatal(err)
		}
		const many = 600 // more than one statement holds
		waiting := func() (n int) {
			b.bars.mu.Lock()
			defer b.bars.mu.Unlock()
			if b.bars.next != nil {
				n = len(b.bars.next.users)
			}
			return n
		}
		b.bars.mu.Lock()
		b.bars.looking = true // as far as they know
		b.bars.mu.Unlock()
		var all sync.WaitGroup
		for i := range many {
			all.Go(func() {
				err := b.mayEnter(t.Context(), newSession(fmt.Sprint("u", i), "42"))
				if errors.Is(err, errBarred) != (i == 7) || i != 7 && err != nil {
					t.Errorf("u%d: %v", i, err)
				}
			})
		}
		storetest.Eventually(t, func() bool { return waiting() == many }, "not all wait for the same look")
		b.bars.work()
		all.Wait()
	})
}

// In one transaction one goes and another comes: the room was never empty, and a backend that closes empty meetings must
// not hear that it was.
func TestRoomIsNotEmptyInBetween(t *testing.T) {
	gone := presence.Change{ConferenceID: "42", UserID: "anna", From: presence.Online, To: presence.Offline, Reason: presence.Left}
	came := presence.Change{ConferenceID: "42", UserID: "ben", From: presence.Offline, To: presence.Online, Online: 1}
	elsewhere := gone
	elsewhere.ConferenceID = "43"
	for _, c := range []struct {
		changes []presence.Change
		want    []string
	}{
		{[]presence.Change{gone}, []string{"presence.offline 42", "conference.empty 42"}},
		{[]presence.Change{gone, came}, []string{"presence.offline 42", "presence.online 42"}},
		{[]presence.Change{gone, elsewhere, came}, []string{"presence.offline 42", "presence.offline 43", "conference.empty 43", "presence.online 42"}},
	} {
		var got []string
		for _, e := range comingsAndGoings(c.changes) {
			got = append(got, e.Type+" "+e.ConferenceID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("told %q, want %q", got, c.want)
		}
	}
}
