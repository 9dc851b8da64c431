package notice

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// world is a fake of presence and of the table in one: facts change and are recorded together. Its lock is a channel
// because a goroutine that waits for a mutex stops the clock of synctest.
type world struct {
	lock  chan struct{}
	rows  map[pair]standing
	truth map[pair]bool
	lag   func() // how long a transaction takes
}

func (w *world) do(f func()) { w.lock <- struct{}{}; f(); <-w.lock }

func (w *world) record(_ context.Context, pairs []pair, dueAt int64) error {
	for _, p := range pairs { // within do
		w.rows[p] = standing{p, w.rows[p].said, dueAt, w.rows[p].change + 1, w.rows[p].held}
	}
	return nil
}

func (w *world) due(_ context.Context, now int64, limit int) (due []Pending, _ error) {
	w.do(func() {
		for p, s := range w.rows {
			if s.dueAt != 0 && s.dueAt <= now && len(due) < limit {
				due = append(due, Pending{p.conference, p.user, s.change})
			}
		}
	})
	return due, nil
}

func (w *world) look(context.Context, []pair) (rows map[pair]standing, _ error) {
	w.do(func() { rows = maps.Clone(w.rows) })
	return rows, nil
}

func (w *world) settle(ctx context.Context, pairs []pair, fn func(context.Context, map[pair]standing) ([]standing, []Entry, error)) (err error) {
	w.do(func() {
		w.lag()
		rows := map[pair]standing{}
		for _, p := range pairs {
			rows[p] = w.rows[p]
		}
		var changed []standing
		if changed, _, err = fn(ctx, rows); err == nil {
			for _, s := range changed {
				w.rows[s.pair] = s
			}
		}
	})
	return err
}

// heard is an announcement and the time in which it was made.
type heard struct {
	id, event     string
	before, after time.Time
}

// stage is a world in which users come and go while nodes announce it.
type stage struct {
	t     *testing.T
	world *world
	nodes []*Notices
	pace  time.Duration // of the sweeps; delays are in proportion

	mu    sync.Mutex // guards rng and heard
	rng   *rand.Rand
	heard map[pair][]heard
}

func newStage(t *testing.T, seed uint64, pace time.Duration, configs ...Config) *stage {
	s := &stage{t: t, pace: pace, rng: rand.New(rand.NewPCG(seed, 0)), heard: map[pair][]heard{}}
	s.world = &world{lock: make(chan struct{}, 1), rows: map[pair]standing{}, truth: map[pair]bool{}, lag: func() { s.wait(pace / 20) }}
	for _, c := range configs {
		c.DetailMax, c.Log = 200, silent()
		n := New(c)
		n.standings = s.world
		s.nodes = append(s.nodes, n)
	}
	return s
}

func silent() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func (s *stage) random(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.IntN(n)
}

// wait lets a random time below most pass.
func (s *stage) wait(most time.Duration) { <-time.After(time.Duration(s.random(int(most)))) }

// live has a user come or go a number of times, in bursts. Most changes are announced by who made them, some of them
// late, after the next ones; the others are left to the sweeps, as if the process had died.
func (s *stage) live(p pair, changes int) {
	var announcing sync.WaitGroup
	for range changes {
		s.wait(s.pace * time.Duration(1+20*s.random(2)*s.random(2)))
		subject := Subject{ConferenceID: p.conference, UserID: p.user, Count: 1}
		s.world.do(func() {
			subject.Online = !s.world.truth[p]
			s.world.truth[p] = subject.Online
			if err := s.nodes[0].Record(s.t.Context(), []Pending{{ConferenceID: p.conference, UserID: p.user}}); err != nil {
				s.t.Error(err)
			}
		})
		if s.random(5) > 0 {
			announcing.Go(func() {
				s.wait(s.pace / 2)
				s.announce(s.nodes[s.random(len(s.nodes))], []Subject{subject})
			})
		}
	}
	announcing.Wait()
}

// sweep looks at what is due until done.
func (s *stage) sweep(n *Notices, done <-chan struct{}) {
	tick := time.NewTicker(s.pace)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		due, err := n.Due(s.t.Context(), 1000)
		if err != nil {
			s.t.Error(err)
		}
		s.wait(s.pace / 10)
		subjects := make([]Subject, len(due))
		s.world.do(func() {
			for i, d := range due {
				subjects[i] = Subject{ConferenceID: d.ConferenceID, UserID: d.UserID, Online: s.world.truth[pair{d.ConferenceID, d.UserID}], Count: 1, Mark: d.Mark}
			}
		})
		s.wait(s.pace / 10)
		s.announce(n, subjects)
	}
}

func (s *stage) announce(n *Notices, subjects []Subject) {
	before := time.Now()
	said, err := n.Announce(s.t.Context(), subjects, nil)
	if err != nil {
		s.t.Error(err)
	}
	after := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range said {
		p := pair{a.ConferenceID, a.UserID}
		s.heard[p] = append(s.heard[p], heard{a.ID, a.Event, before, after})
	}
}

// check returns how the promise was broken: two of a kind in a window, or a last word that is not the truth. strict
// measures windows between what was heard; otherwise between the earliest and the latest moment that could be.
func (s *stage) check(p pair, window time.Duration, strict bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := heard{event: OfflineNotice}
	ends := map[string]time.Time{}
	for _, h := range s.heard[p] {
		if h.after.Before(ends[h.event]) {
			return fmt.Errorf("%s of %v came %v before the end of the window", h.event, p, ends[h.event].Sub(h.after))
		}
		if ends[h.event] = h.before.Add(window); strict {
			ends[h.event] = h.after.Add(window)
		}
		if h.id > last.id {
			last = h
		}
	}
	if last.event != event(s.world.truth[p]) {
		return fmt.Errorf("%v was last announced as %s; %d announcements", p, last.event, len(s.heard[p]))
	}
	return nil
}
