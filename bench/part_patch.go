package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"rollcall/bench/load"
)

// patchSize is the size of the tree of which patches should be a small part.
const patchSize size = 16 << 10

// watcher counts the bytes of what tells of trees: full ones and patches.
type watcher struct{ frames, bytes atomic.Int64 }

func (w *watcher) handle(_ *load.Conn, message []byte) {
	if bytes.HasPrefix(message, []byte(`42["note_tree",`)) || bytes.HasPrefix(message, []byte(`42["note_tree_patch",`)) {
		w.bytes.Add(int64(len(message)))
		w.frames.Add(1)
	}
}

// watch connects one client that is told of trees.
func watch(ctx context.Context, s *server, user string, more ...string) (*watcher, *load.Fleet, error) {
	w := &watcher{}
	fleet := load.NewFleet(w.handle)
	err := fleet.Add(ctx, 1, 1, func(int) load.Way { return s.way(user, "patch", more...) })
	return w, fleet, err
}

// patch compares the bytes that one change costs a client that takes patches with those of one that takes full trees.
func patch(ctx context.Context, b *bench) ([]*row, error) {
	s, err := b.startServer(ctx, rollcall)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	full, one, err := watch(ctx, s, "full")
	if err != nil {
		return nil, err
	}
	defer one.Close()
	small, two, err := watch(ctx, s, "patch", "tree", "patch")
	if err != nil {
		return nil, err
	}
	defer two.Close()
	if err := s.patch(ctx, "patch", patchSize.content(0)); err != nil {
		return nil, err
	}
	what := fmt.Sprintf("bytes with tree=patch, of those of the full tree, %v: ", patchSize)
	people := &row{what: what + "somebody came or went", unit: percent, most: 2}
	timer := &row{what: what + "the timer", unit: percent, most: 5}
	guest := load.NewFleet(func(*load.Conn, []byte) {})
	defer guest.Close()
	comeOrGo := func(int) error {
		if guest.Size() > 0 {
			guest.Dismiss(1)
			return nil
		}
		return guest.Add(ctx, 1, 1, func(int) load.Way { return s.way("guest", "patch") })
	}
	turnTimer := func(round int) error {
		body := `{"action":"` + [...]string{"resume", "pause"}[round%2] + `"}`
		if round == 0 {
			body = `{"action":"start","durationMs":3600000}`
		}
		return s.call(ctx, http.MethodPost, "/api/v1/conferences/patch/timer", body)
	}
	for round := range 2 * b.plan.rounds {
		if err := compare(ctx, people, round, comparison{full, small, comeOrGo}); err != nil {
			return nil, err
		}
		if err := compare(ctx, timer, round, comparison{full, small, turnTimer}); err != nil {
			return nil, err
		}
	}
	b.say("somebody came or went: %s; the timer: %s", people.cell(rollcall), timer.cell(rollcall))
	return []*row{people, timer}, nil
}

// comparison is two clients, of which one takes patches, and a change that both are told of.
type comparison struct {
	full, small *watcher
	change      func(round int) error
}

// compare makes a change and notes what it costs the one as part of what it costs the other.
func compare(ctx context.Context, r *row, round int, c comparison) error {
	// What came before is over when nothing comes for longer than the pause between two pushes.
	if err := pause(ctx, 300*time.Millisecond); err != nil {
		return err
	}
	before := [2]int64{c.full.bytes.Load(), c.small.bytes.Load()}
	frames := [2]int64{c.full.frames.Load(), c.small.frames.Load()}
	if err := c.change(round); err != nil {
		return err
	}
	err := load.Until(ctx, 5*time.Second, func() bool { return c.full.frames.Load() > frames[0] && c.small.frames.Load() > frames[1] })
	if err != nil {
		r.fault(rollcall, round, fmt.Errorf("the change did not reach both clients: %w", err))
		return ctx.Err()
	}
	if err := pause(ctx, 300*time.Millisecond); err != nil {
		return err
	}
	r.set(rollcall, round, 100*float64(c.small.bytes.Load()-before[1])/float64(c.full.bytes.Load()-before[0]))
	return nil
}
