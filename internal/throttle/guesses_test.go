package throttle

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// guess lets many look at once for somebody, each for a second, and returns how many looked in all and at the same moment.
func guess(g *Guesses, who string, many int, wrong bool) (looked, most int) {
	var mu sync.Mutex
	var all sync.WaitGroup
	now := 0
	for range many {
		all.Go(func() {
			g.Look(context.Background(), who, func() bool {
				mu.Lock()
				looked++
				now++
				most = max(most, now)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				defer mu.Unlock()
				now--
				return wrong
			})
		})
	}
	all.Wait()
	return looked, most
}

// Wrong ones were counted when they had been looked at. Who sent many at once was past the bound before the first was, and kept
// everybody else waiting for whoever had to be asked.
func TestGuessesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuesses(10, 4)
		if looked, most := guess(g, "a", 100, true); looked != 20 || most != 4 {
			t.Errorf("%d of 100 wrong ones were looked at, %d at once, want 20 and 4", looked, most)
		}
		if looked, _ := guess(g, "b", 1, true); looked != 1 {
			t.Error("somebody else is refused")
		}
		time.Sleep(time.Minute)
		for range 5 {
			if looked, most := guess(g, "a", 20, false); looked != 20 || most != 4 {
				t.Errorf("%d of 20 good ones were looked at, %d at once, want all and 4", looked, most)
			}
		}
		if len(g.turns) != 0 {
			t.Errorf("%d are remembered", len(g.turns))
		}
	})
}

// Who gives up waiting for his turn has guessed nothing.
func TestGuessGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuesses(1, 1)
		gate := make(chan struct{})
		go g.Look(context.Background(), "a", func() bool { <-gate; return false })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if wait, ok := g.Look(ctx, "a", func() bool { return false }); ok || wait != time.Second {
			t.Errorf("%v, %v", wait, ok)
		}
		close(gate)
		synctest.Wait()
		if looked, _ := guess(g, "a", 2, true); looked != 2 || len(g.turns) != 0 {
			t.Errorf("%d are looked at, %d remembered", looked, len(g.turns))
		}
	})
}

// Of nothing that went wrong by itself somebody is called a guesser.
func TestGuessThatPanics(t *testing.T) {
	g := NewGuesses(1, 1)
	for range 10 {
		func() {
			defer func() { _ = recover() }()
			g.Look(t.Context(), "a", func() bool { panic("a bug") })
		}()
	}
	if looked, _ := guess(g, "a", 1, false); looked != 1 || len(g.turns) != 0 {
		t.Errorf("%d are looked at, %d remembered", looked, len(g.turns))
	}
	if looked, _ := guess(NewGuesses(0, 8), "a", 50, true); looked != 50 {
		t.Error(fmt.Sprint("without a bound only ", looked, " are looked at"))
	}
}
