package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"rollcall/bench/load"
	"rollcall/bench/stats"
)

// smallRoom is the size of a small conference.
const smallRoom = 5

// hot measures what many small conferences notice of a large one in which things go on.
func hot(ctx context.Context, b *bench) ([]*row, error) {
	s, err := b.startServer(ctx, rollcall, "conference.push_min_interval", "1ms")
	if err != nil {
		return nil, err
	}
	defer s.stop()
	small := load.NewFleet(func(*load.Conn, []byte) {})
	defer small.Close()
	if err := b.settle(ctx, s, small); err != nil {
		return nil, err
	}
	what := fmt.Sprintf("p99 of the time to all %d of a conference, one of %d, 20 changes/s", smallRoom, b.plan.small)
	alone := &row{what: what + ", alone", unit: millis}
	beside := &row{what: fmt.Sprintf("- beside one of %d, 5 changes/s there", b.plan.crowd), unit: millis}
	multiple := &row{what: "- that as a multiple", unit: plain, most: 2}
	through := &row{what: "- deliveries there, of those that are due if no changes share a push", unit: percent}
	for round := range b.plan.rounds {
		one, err := b.smallRound(ctx, s, small)
		if err != nil {
			return nil, fmt.Errorf("alone: %w", err)
		}
		two, came, err := b.hotRound(ctx, s, small, fmt.Sprintf("hot-%d", round))
		if ctx.Err() != nil {
			return nil, err
		}
		if err != nil {
			b.say("round %d: %v", round+1, err)
			beside.fault(rollcall, round, err)
			continue
		}
		alone.set(rollcall, round, one)
		beside.set(rollcall, round, two)
		multiple.set(rollcall, round, two/one)
		through.set(rollcall, round, came)
		b.say("round %d: p99 %.1f ms alone, %.1f ms beside the hot one", round+1, one, two)
	}
	return []*row{alone, beside, multiple, through}, nil
}

func smallName(i int) string { return fmt.Sprintf("small-%d", i) }

// settle fills the small conferences.
func (b *bench) settle(ctx context.Context, s *server, small *load.Fleet) error {
	err := small.Add(ctx, b.plan.small*smallRoom, parallel, func(i int) load.Way {
		return s.way(fmt.Sprintf("user-%d", i), smallName(i/smallRoom))
	})
	if err != nil {
		return err
	}
	b.say("%d conferences of %d are there", b.plan.small, smallRoom)
	for i := range b.plan.small {
		if err := s.patch(ctx, smallName(i), target.content(0)); err != nil {
			return err
		}
	}
	return pause(ctx, b.plan.rest)
}

// openSeries pushes at the rate, to one conference after another, and does not wait for one push before it sends the next.
func (b *bench) openSeries(ctx context.Context, j job, clients int, conference func(i int) string) (*load.Pushes, error) {
	n := count(j.rate, j.long)
	p := load.NewPushes(j.first, n)
	j.fleet.Handle(p.Handle)
	err := sendOpen(ctx, j, func(i int, due time.Duration) (string, int) { return conference(i), p.Send(i, clients, due) })
	return p, errors.Join(err, j.fleet.Err())
}

// sendOpen sends the pushes of an open series; next says where the one with number i from 0, which is due, goes, and which number of all it
// is.
func sendOpen(ctx context.Context, j job, next func(i int, due time.Duration) (conference string, seq int)) error {
	var all sync.WaitGroup
	errs := make([]error, count(j.rate, j.long))
	begin, gap := load.Now(), time.Duration(float64(time.Second)/j.rate)
	for i := range errs {
		due := begin + time.Duration(i)*gap
		time.Sleep(due - load.Now())
		conference, seq := next(i, due)
		all.Go(func() { errs[i] = j.server.push(ctx, conference, seq) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// smallRound changes one small conference after another and returns the p99 in milliseconds.
func (b *bench) smallRound(ctx context.Context, s *server, small *load.Fleet) (float64, error) {
	j := job{server: s, fleet: small, rate: 20, long: b.plan.hotWindow}
	n := count(j.rate, j.long)
	j.first = b.next(n)
	p, err := b.openSeries(ctx, j, smallRoom, func(i int) string { return smallName(i % b.plan.small) })
	if err != nil {
		return 0, err
	}
	_ = load.Until(ctx, arrival, func() bool { return p.Done(n) }) // what did not arrive, Exact says
	return stats.Quantile(inMillis(p.Last(n)), 0.99), p.Exact(n)
}

// hotRound is smallRound while things go on in a large conference. It also returns how many percent of the deliveries were made there
// that are due: that changes share a push when they come too fast is what pushes are for.
func (b *bench) hotRound(ctx context.Context, s *server, small *load.Fleet, conference string) (p99, through float64, err error) {
	people, err := startCrowd(s, conference, b.plan.crowd)
	if err != nil {
		return 0, 0, err
	}
	defer people.stop()
	if err := s.patch(ctx, conference, target.content(0)); err != nil {
		return 0, 0, err
	}
	j := job{server: s, rate: 5, long: b.plan.hotWindow}
	n := count(j.rate, j.long)
	j.first = b.next(n)
	if err := people.count(j.first, n); err != nil {
		return 0, 0, err
	}
	done := make(chan error, 1)
	go func() {
		done <- sendOpen(ctx, j, func(i int, _ time.Duration) (string, int) { return conference, j.first + i })
	}()
	p99, err = b.smallRound(ctx, s, small)
	if err := errors.Join(err, <-done); err != nil {
		return 0, 0, err
	}
	if err := pause(ctx, b.plan.rest); err != nil {
		return 0, 0, err
	}
	made, err := people.end()
	if err != nil {
		return 0, 0, err
	}
	people.stop()
	if err := s.left(ctx, small.Size()); err != nil { // that they go is no part of the next round
		return 0, 0, err
	}
	return p99, 100 * float64(made) / float64(n*b.plan.crowd), pause(ctx, b.plan.rest)
}
