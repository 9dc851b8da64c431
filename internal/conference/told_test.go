package conference

import (
	"errors"
	"slices"
	"testing"

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
