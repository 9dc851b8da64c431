package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"rollcall/bench/load"
	"rollcall/bench/stats"
)

// growth measures what a push costs as the room grows: a + b x sockets, where b should stay what it is. All rooms are there all the
// time, so that they differ in nothing but their size.
func growth(ctx context.Context, b *bench) ([]*row, error) {
	s, err := b.startServer(ctx, rollcall, "conference.push_min_interval", "1ms")
	if err != nil {
		return nil, err
	}
	defer s.stop()
	steps := b.plan.growth
	rooms, leave, err := b.growthRooms(ctx, s)
	defer leave()
	if err != nil {
		return nil, err
	}
	pushes, slopes := make([]*row, len(steps)), make([]*row, len(steps))
	for i, step := range steps {
		pushes[i] = &row{what: fmt.Sprintf("CPU per push, %d sockets, %v", step.sockets, target), unit: micros}
		slopes[i] = &row{what: fmt.Sprintf("- b: for each beyond the first, %d sockets", step.sockets), unit: micros}
	}
	for round := range b.plan.rounds {
		idle, err := b.idle(ctx, s)
		if err != nil {
			return nil, err
		}
		for i, step := range steps {
			got, err := b.run(ctx, job{server: s, fleet: rooms[i], conference: growthName(step), rate: step.rate, warm: b.plan.warm, long: b.plan.growthWindow})
			if ctx.Err() != nil {
				return nil, err
			}
			if err != nil {
				b.say("round %d: %d sockets: %v", round+1, step.sockets, err)
				pushes[i].fault(rollcall, round, err)
				continue
			}
			push := each(got.cpu-time.Duration(idle*float64(got.took)), int64(got.pushes))
			b.say("round %d: %d sockets: %.0f µs per push", round+1, step.sockets, push)
			pushes[i].set(rollcall, round, push)
			if first := pushes[0].values[rollcall]; i > 0 && len(first) > round {
				slopes[i].set(rollcall, round, (push-first[round])/float64(step.sockets-1))
			}
		}
	}
	return append(append(pushes, slopes[1:]...), bent(pushes, slopes[1:], steps)...), nil
}

func growthName(s step) string { return fmt.Sprintf("growth-%d", s.sockets) }

// growthRooms fills a conference of each size.
func (b *bench) growthRooms(ctx context.Context, s *server) (rooms []*load.Fleet, leave func(), err error) {
	leave = func() {
		for _, r := range rooms {
			r.Close()
		}
	}
	for _, step := range b.plan.growth {
		fleet, err := b.gather(ctx, s, growthName(step), step.sockets)
		if err != nil {
			return rooms, leave, err
		}
		rooms = append(rooms, fleet)
		if err := s.patch(ctx, growthName(step), target.content(0)); err != nil {
			return rooms, leave, err
		}
		b.say("%d clients are in one conference", step.sockets)
	}
	return rooms, leave, pause(ctx, b.plan.rest)
}

// idle returns how much of a processor the server uses while nothing is pushed: ten thousand sockets have a thousand heartbeats a
// second.
func (b *bench) idle(ctx context.Context, s *server) (float64, error) {
	var before, after [3]time.Duration
	if err := b.clocks(s, &before); err != nil {
		return 0, err
	}
	begin := load.Now()
	if err := pause(ctx, b.plan.growthWindow); err != nil {
		return 0, err
	}
	if err := b.clocks(s, &after); err != nil {
		return 0, err
	}
	return float64(after[0]-before[0]) / float64(load.Now()-begin), nil
}

// bent says how far the cost is from a straight line, and where that begins.
func bent(pushes, slopes []*row, steps []step) []*row {
	var x, y, b []float64
	for i, p := range pushes {
		if values := known(p.values[rollcall]); len(values) > 0 && steps[i].sockets <= 1000 {
			x, y = append(x, float64(steps[i].sockets)), append(y, stats.Median(values))
		}
	}
	for _, s := range slopes {
		if values := known(s.values[rollcall]); len(values) > 0 {
			b = append(b, stats.Median(values))
		}
	}
	intercept := &row{what: "- a: per push, by least squares up to 1000 sockets", unit: micros}
	bend := &row{what: "- the largest b as a multiple of the smallest", unit: plain, most: 1.3}
	if a, _, ok := stats.Line(x, y); ok {
		intercept.set(rollcall, 0, a)
	}
	if len(b) == len(slopes) && slices.Min(b) > 0 {
		bend.set(rollcall, 0, slices.Max(b)/slices.Min(b))
	}
	return []*row{intercept, bend}
}
