package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"rollcall/bench/load"
	"rollcall/bench/stats"
)

// growth measures what a push costs as the room grows: a + b x sockets, where b should stay what it is.
func growth(ctx context.Context, b *bench) ([]*row, error) {
	steps := b.plan.growth
	rooms, leave, err := b.growthRooms(ctx)
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
		for i, step := range steps {
			push, err := b.growthStep(ctx, rooms[i])
			if ctx.Err() != nil {
				return nil, err
			}
			if err != nil {
				b.say("round %d: %d sockets: %v", round+1, step.sockets, err)
				pushes[i].fault(rollcall, round, err)
				continue
			}
			b.say("round %d: %d sockets: %.0f µs per push", round+1, step.sockets, push)
			pushes[i].set(rollcall, round, push)
			if first := pushes[0].values[rollcall]; i > 0 && len(first) > round {
				slopes[i].set(rollcall, round, (push-first[round])/float64(step.sockets-1))
			}
		}
	}
	return append(append(pushes, slopes[1:]...), bent(pushes, slopes[1:], steps)...), nil
}

// growthName is the conference of each step.
const growthName = "growth"

// growthRooms fills a conference of each size, each on a server of its own, so that small ones do not pay for the heartbeats of large
// ones. All of them stay until leave is called.
func (b *bench) growthRooms(ctx context.Context) (rooms []job, leave func(), err error) {
	leave = func() {
		for _, r := range rooms {
			r.fleet.Close()
			r.server.stop()
		}
	}
	for _, step := range b.plan.growth {
		s, err := b.startServer(ctx, rollcall, "conference.push_min_interval", "1ms")
		if err != nil {
			return rooms, leave, err
		}
		fleet, err := b.gather(ctx, s, growthName, step.sockets)
		if err != nil {
			s.stop()
			return rooms, leave, err
		}
		rooms = append(rooms, job{server: s, fleet: fleet, conference: growthName, rate: step.rate, warm: b.plan.warm, long: b.plan.growthWindow})
		if err := s.patch(ctx, growthName, target.content(0)); err != nil {
			return rooms, leave, err
		}
		b.say("%d clients are in one conference", step.sockets)
	}
	return rooms, leave, pause(ctx, 2*b.plan.rest)
}

// growthStep returns the CPU per push in microseconds, without what the same time costs while nothing is pushed: ten thousand sockets
// have a thousand heartbeats a second.
func (b *bench) growthStep(ctx context.Context, j job) (float64, error) {
	got, err := b.run(ctx, j)
	if err != nil {
		return 0, err
	}
	var before, after [3]time.Duration
	if err := b.clocks(j.server, &before); err != nil {
		return 0, err
	}
	begin := load.Now()
	if err := pause(ctx, j.long/2); err != nil {
		return 0, err
	}
	if err := b.clocks(j.server, &after); err != nil {
		return 0, err
	}
	idle := float64(after[0]-before[0]) / float64(load.Now()-begin) * float64(got.took)
	return each(got.cpu-time.Duration(idle), int64(got.pushes)), nil
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
