package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"rollcall/bench/load"
)

// stormParallel is how many clients of a storm connect at a time: more than the server lets in at once, fewer than the kernel drops.
const stormParallel = 1000

// stormRows are the rows of the storm.
type stormRows struct {
	shown, bare, multiple, joined, sent, saved *row
}

// storm lets thousands come into one conference as fast as they can, and beside it as many who want nothing but a connection.
func storm(ctx context.Context, b *bench) ([]*row, error) {
	s, err := b.startServer(ctx, rollcall)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	n := b.plan.storm
	r := &stormRows{
		shown:    &row{what: fmt.Sprintf("storm of %d clients into one conference, until all see %d, %v", n, n, target), unit: seconds},
		bare:     &row{what: fmt.Sprintf("- %d bare connects", n), unit: seconds},
		multiple: &row{what: "- the storm as a multiple of them", unit: plain, most: 1.5},
		joined:   &row{what: "- until all are let in", unit: seconds},
		sent:     &row{what: "- MiB sent", unit: plain},
		saved:    &row{what: "- MiB if each join sent the tree to all, as a multiple", unit: plain},
	}
	for round := range b.plan.rounds {
		steps := []func(context.Context, *server, int, *stormRows) error{b.bareConnects, b.stormRound}
		if round%2 == 1 {
			steps[0], steps[1] = steps[1], steps[0]
		}
		for _, step := range steps {
			if err := step(ctx, s, round, r); err != nil {
				return nil, err
			}
			if err := s.empty(ctx); err != nil {
				return nil, err
			}
		}
		if bare, shown := known(r.bare.values[rollcall]), known(r.shown.values[rollcall]); len(bare) == round+1 && len(shown) == round+1 {
			r.multiple.set(rollcall, round, shown[round]/bare[round])
		}
	}
	return []*row{r.shown, r.bare, r.multiple, r.joined, r.sent, r.saved}, nil
}

// bareConnects are clients without user and conference, up to the answer of their CONNECT.
func (b *bench) bareConnects(ctx context.Context, s *server, round int, r *stormRows) error {
	fleet := load.NewFleet(func(*load.Conn, []byte) {})
	defer fleet.Close()
	begin := load.Now()
	if err := fleet.Add(ctx, b.plan.storm, stormParallel, func(int) load.Way { return s.way("", "") }); err != nil {
		return err
	}
	took := (load.Now() - begin).Seconds()
	r.bare.set(rollcall, round, took)
	b.say("round %d: %d bare connects in %.2f s", round+1, b.plan.storm, took)
	return nil
}

func (b *bench) stormRound(ctx context.Context, s *server, round int, r *stormRows) error {
	n, conference := b.plan.storm, fmt.Sprintf("storm-%d", round)
	if err := s.call(ctx, http.MethodPut, "/api/v1/conferences/"+conference, `{}`); err != nil {
		return err
	}
	if err := s.patch(ctx, conference, target.content(0)); err != nil {
		return err
	}
	crowd := load.NewCrowd(n)
	fleet := load.NewFleet(crowd.Handle)
	defer fleet.Close()
	begin := load.Now()
	err := fleet.Add(ctx, n, stormParallel, func(i int) load.Way { return s.way(fmt.Sprintf("user-%d", i), conference) })
	if err != nil {
		return err
	}
	joined := (load.Now() - begin).Seconds()
	if err := load.Until(ctx, time.Minute, func() bool { return crowd.Shown() == n }); err != nil {
		r.shown.fault(rollcall, round, fmt.Errorf("%d of %d clients see all: %w", crowd.Shown(), n, err))
		return nil
	}
	shown := (load.Now() - begin).Seconds()
	sent := float64(fleet.Received())
	naive := float64(crowd.Length()) * float64(n) * float64(n+1) / 2
	r.shown.set(rollcall, round, shown)
	r.joined.set(rollcall, round, joined)
	r.sent.set(rollcall, round, sent/(1<<20))
	r.saved.set(rollcall, round, naive/sent)
	b.say("round %d: %d let in after %.2f s, all see all after %.2f s, %.0f MiB sent, %.1f trees for each, 1/%.0f of the naive way", round+1, n,
		joined, shown, sent/(1<<20), float64(crowd.Trees())/float64(n), naive/sent)
	return nil
}

// empty waits until nobody is left.
func (s *server) empty(ctx context.Context) error { return s.left(ctx, 0) }

// left waits until so many are left, who have a session each, and all that follows from it is written down.
func (s *server) left(ctx context.Context, n int) error {
	for range 300 {
		left := float64(-2 * n)
		for _, name := range []string{"rollcall_sockets", "rollcall_presence_sessions", "rollcall_presence_queue"} {
			v, err := s.metric(ctx, name)
			if err != nil {
				return err
			}
			left += v
		}
		if left == 0 {
			return nil
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("%v: there are still sockets or sessions of clients who are gone", s.kind)
}
