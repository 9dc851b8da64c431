package main

import (
	"context"
	"fmt"

	"rollcall/bench/load"
	"rollcall/bench/proc"
)

// The metrics of rollcall that are looked at, too.
const (
	goroutinesMetric = "rollcall_go_goroutines"
	heapMetric       = "rollcall_go_memstats_heap_inuse_bytes"
	stackMetric      = "rollcall_go_memstats_stack_inuse_bytes"
)

// memoryRows are per connection.
type memoryRows struct {
	resident, goroutines, heap, stack *row
}

func (b *bench) memoryRows() memoryRows {
	what := fmt.Sprintf("of each of %d idle connections, %d in a conference", b.plan.idle, b.plan.idleRoom)
	return memoryRows{
		resident:   &row{what: "memory " + what, unit: kib, most: 22},
		goroutines: &row{what: "- goroutines of each", unit: plain, most: 2},
		heap:       &row{what: "- of it heap in use", unit: kib},
		stack:      &row{what: "- of it stacks in use", unit: kib},
	}
}

// memory measures what connections cost that do nothing but stay, each time of a fresh process.
func memory(ctx context.Context, b *bench) ([]*row, error) {
	r := b.memoryRows()
	for round := range b.plan.rounds {
		for _, k := range turn(round) {
			if err := b.memoryTurn(ctx, k, round, r); err != nil {
				return nil, err
			}
		}
	}
	return []*row{r.resident, r.goroutines, r.heap, r.stack}, nil
}

// usage is what a server uses. What only rollcall tells is 0 of the others.
type usage struct{ rss, goroutines, heap, stack float64 }

func (s *server) usage(ctx context.Context) (u usage, err error) {
	rss, err := proc.RSS(s.pid)
	if u.rss = float64(rss); err != nil || s.kind != rollcall {
		return u, err
	}
	for name, into := range map[string]*float64{goroutinesMetric: &u.goroutines, heapMetric: &u.heap, stackMetric: &u.stack} {
		if *into, err = s.metric(ctx, name); err != nil {
			return u, err
		}
	}
	return u, nil
}

func (b *bench) memoryTurn(ctx context.Context, k kind, round int, r memoryRows) error {
	s, err := b.startServer(ctx, k)
	if err != nil {
		return err
	}
	defer s.stop()
	if err := pause(ctx, b.plan.rest); err != nil {
		return err
	}
	before, err := s.usage(ctx)
	if err != nil {
		return err
	}
	n := b.plan.idle
	fleet := load.NewFleet(func(*load.Conn, []byte) {})
	defer fleet.Close()
	err = fleet.Add(ctx, n, parallel, func(i int) load.Way {
		return s.way(fmt.Sprintf("user-%d", i), fmt.Sprintf("idle-%d", i/b.plan.idleRoom))
	})
	if err != nil {
		return fmt.Errorf("%v: %w", k, err)
	}
	if err := pause(ctx, b.plan.idleRest); err != nil {
		return err
	}
	after, err := s.usage(ctx)
	if err != nil {
		return err
	}
	if err := fleet.Err(); err != nil {
		r.resident.fault(k, round, err)
		return nil
	}
	per := func(after, before float64) float64 { return (after - before) / float64(n) }
	r.resident.set(k, round, per(after.rss, before.rss)/1024)
	if k == rollcall {
		r.goroutines.set(k, round, per(after.goroutines, before.goroutines))
		r.heap.set(k, round, per(after.heap, before.heap)/1024)
		r.stack.set(k, round, per(after.stack, before.stack)/1024)
	}
	b.say("round %d: %v: %.1f KiB for each of %d connections", round+1, k, per(after.rss, before.rss)/1024, n)
	return nil
}
