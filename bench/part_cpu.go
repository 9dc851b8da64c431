package main

import (
	"context"
	"fmt"
	"slices"
)

// trio starts the three servers. Rollcall does not put changes together, so that all send the same.
func (b *bench) trio(ctx context.Context) ([kinds]*server, func(), error) {
	var all [kinds]*server
	stop := func() {
		for _, s := range all {
			if s != nil {
				s.stop()
			}
		}
	}
	for k := range kinds {
		s, err := b.startServer(ctx, k, "conference.push_min_interval", "1ms")
		if err != nil {
			stop()
			return all, nil, err
		}
		all[k] = s
	}
	return all, stop, nil
}

// turn returns the three in another order for each round.
func turn(round int) []kind {
	order := []kind{rollcall, node, floor}
	return append(slices.Clone(order[round%3:]), order[:round%3]...)
}

// cpuRows are the rows of one size.
type cpuRows struct {
	delivery, whole  *row // of the server
	slope, intercept *row
	db, redis, size  *row
	push             [kinds][2]float64 // of this round: CPU per push to few and to many
}

func (b *bench) cpuRows(z size) *cpuRows {
	many := b.plan.sockets[1]
	of := func(format string, args ...any) *row {
		return &row{what: fmt.Sprintf(format, args...) + fmt.Sprintf(", %v", z), unit: micros}
	}
	r := &cpuRows{
		delivery:  of("CPU per delivery, %d sockets, 10 pushes/s", many),
		whole:     of("- per push, all of it"),
		slope:     of("- per socket"),
		intercept: of("- per push, without sockets"),
		db:        of("- CPU of MariaDB per push"),
		redis:     of("- CPU of Redis per push"),
		size:      of("- bytes of a message"),
	}
	r.size.unit = plain
	if z == target {
		r.delivery.ratios = [kinds]float64{node: 0.85, floor: 1.25}
	}
	return r
}

func (r *cpuRows) rows() []*row {
	return []*row{r.delivery, r.whole, r.slope, r.intercept, r.db, r.redis, r.size}
}

// cpu measures what a push and a delivery cost the servers.
func cpu(ctx context.Context, b *bench) ([]*row, error) {
	servers, stop, err := b.trio(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	templates, sets := map[size]string{}, map[size]*cpuRows{}
	var rows []*row
	for _, z := range b.plan.sizes {
		if templates[z], err = b.template(ctx, servers[rollcall], z); err != nil {
			return nil, err
		}
		sets[z] = b.cpuRows(z)
		rows = append(rows, sets[z].rows()...)
	}
	for round := range b.plan.rounds {
		for few := range b.plan.sockets {
			for _, k := range turn(round) {
				if err := b.cpuTurn(ctx, servers[k], cpuTurn{round, few, templates, sets}); err != nil {
					return nil, err
				}
			}
		}
		for _, set := range sets {
			set.line(round, b.plan.sockets)
		}
	}
	return rows, nil
}

// cpuTurn is one server's turn with few (0) or many (1) sockets.
type cpuTurn struct {
	round, many int
	templates   map[size]string
	sets        map[size]*cpuRows
}

func (b *bench) cpuTurn(ctx context.Context, s *server, t cpuTurn) error {
	n := b.plan.sockets[t.many]
	conference := fmt.Sprintf("cpu-%d-%d", t.round, n)
	fleet, err := b.gather(ctx, s, conference, n)
	if err != nil {
		return err
	}
	defer fleet.Close()
	for _, z := range b.plan.sizes {
		set := t.sets[z]
		if err := s.prepare(ctx, conference, t.templates[z], z, n); err != nil {
			return err
		}
		got, err := b.run(ctx, job{server: s, fleet: fleet, conference: conference, rate: 10, warm: b.plan.warm, long: b.plan.cpuWindow})
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			b.say("round %d: %v, %d sockets, %v: %v", t.round+1, s.kind, n, z, err)
			set.delivery.fault(s.kind, t.round, err)
			continue
		}
		push := each(got.cpu, int64(got.pushes))
		b.say("round %d: %v, %d sockets, %v: %.0f µs per push, %.2f µs per delivery; all %d arrived", t.round+1, s.kind, n, z,
			push, each(got.cpu, got.deliveries), got.deliveries)
		if set.push[s.kind][t.many] = push; t.many == 1 {
			set.delivery.set(s.kind, t.round, each(got.cpu, got.deliveries))
			set.whole.set(s.kind, t.round, push)
			set.size.set(s.kind, t.round, got.size)
			if s.kind == rollcall {
				set.db.set(s.kind, t.round, each(got.db, int64(got.pushes)))
				set.redis.set(s.kind, t.round, each(got.redis, int64(got.pushes)))
			}
		}
	}
	return nil
}

// line draws the line through the pushes to few and to many: what each socket adds, and what is left without any.
func (r *cpuRows) line(round int, sockets [2]int) {
	for k := range kinds {
		few, many := r.push[k][0], r.push[k][1]
		if r.push[k] = [2]float64{}; few == 0 || many == 0 {
			continue // one of them failed
		}
		slope := (many - few) / float64(sockets[1]-sockets[0])
		r.slope.set(k, round, slope)
		r.intercept.set(k, round, few-slope*float64(sockets[0]))
	}
}
