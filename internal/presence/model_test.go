package presence

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// model is what must be true of the open sessions, by user and id.
type model map[string]map[string]bool

// Whatever happens in whatever order and at once: in the end exactly those are online who have an open session,
// the number is theirs, each change of the number was a tree version, and everybody's changes form a chain.
func TestModel(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		round := 0
		n := start(t, db, func(p *Presence) { p.cfg.Grace = 30 * time.Millisecond })
		rapid.Check(t, func(r *rapid.T) {
			round++
			conf := fmt.Sprintf("c%d", round)
			m := model{}
			for range rapid.IntRange(1, 8).Draw(r, "bursts") {
				n.burst(r, conf, m)
			}
			n.check(t, conf, m)
		})
	})
}

// burst lets several things happen at once, which the writer may find in one batch: closes of old sessions and
// opens of new ones.
func (n *node) burst(r *rapid.T, conf string, m model) {
	var wg sync.WaitGroup
	for _, user := range slices.Sorted(maps.Keys(m)) {
		for _, id := range slices.Sorted(maps.Keys(m[user])) {
			if why := rapid.SampledFrom([]Reason{"", "", Lost, Left, Kicked}).Draw(r, "fate"); why != "" {
				n.Close(id, why)
				delete(m[user], id)
			}
		}
	}
	for range rapid.IntRange(0, 5).Draw(r, "opens") {
		s := session(conf, rapid.SampledFrom([]string{"u1", "u2", "u3"}).Draw(r, "user"))
		if m[s.UserID] == nil {
			m[s.UserID] = map[string]bool{}
		}
		m[s.UserID][s.ID] = true
		wg.Go(func() {
			if _, err := n.Open(context.Background(), s); err != nil {
				r.Errorf("open: %v", err)
			}
		})
	}
	wg.Wait()
}

func (n *node) check(t *testing.T, conf string, m model) {
	want := map[string]State{}
	online := 0
	for user, open := range m {
		want[user] = Offline
		if len(open) > 0 {
			want[user] = Online
			online++
		}
	}
	storetest.Eventually(t, func() bool {
		for user, state := range want {
			all, err := n.StateOf(t.Context(), [][2]string{{conf, user}})
			if got := all[[2]string{conf, user}]; err != nil || got.State != state || got.Online != online {
				return false
			}
		}
		return true
	}, fmt.Sprintf("the database says %v", want))
	storetest.Eventually(t, func() bool { return maps.Equal(want, n.follow(t, conf)) }, fmt.Sprintf("%v is told", want))
}

// follow returns the states that were told last, having seen that each change begins where the one before ended.
func (n *node) follow(t *testing.T, conf string) map[string]State {
	n.mu.Lock()
	defer n.mu.Unlock()
	states, online := map[string]State{}, 0
	for _, c := range n.changes {
		if c.ConferenceID != conf {
			continue
		}
		if was := cmp.Or(states[c.UserID], Offline); was != c.From {
			t.Fatalf("%s was %q and changes from %q", c.UserID, was, c.From)
		}
		states[c.UserID] = c.To
		online += number(c.To) - number(c.From)
		if c.Online != online {
			t.Fatalf("number %d after %+v, counted %d", c.Online, c, online)
		}
	}
	return states
}
