package main

import (
	"context"
	"fmt"
	"time"

	"rollcall/bench/stats"
)

// latency measures the time from a request to the last client, 20 times a second.
func latency(ctx context.Context, b *bench) ([]*row, error) {
	servers, stop, err := b.trio(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	template, err := b.template(ctx, servers[rollcall], target)
	if err != nil {
		return nil, err
	}
	n := b.plan.sockets[1]
	what := fmt.Sprintf("of the time from the request to the last of %d clients, 20 changes/s, %v", n, target)
	p99 := &row{what: "p99 " + what, unit: millis, ratios: [kinds]float64{node: 1}}
	p50 := &row{what: "p50 " + what, unit: millis}
	all := &row{what: "- p99 of the time to each client", unit: millis}
	for round := range b.plan.rounds {
		for _, k := range turn(round) {
			s, conference := servers[k], fmt.Sprintf("latency-%d", round)
			fleet, err := b.gather(ctx, s, conference, n)
			if err != nil {
				return nil, err
			}
			if err = s.prepare(ctx, conference, template, target, n); err != nil {
				fleet.Close()
				return nil, err
			}
			got, err := b.run(ctx, job{server: s, fleet: fleet, conference: conference, rate: 20, warm: b.plan.warm, long: b.plan.lastWindow})
			fleet.Close()
			if ctx.Err() != nil {
				return nil, err
			}
			if err != nil {
				b.say("round %d: %v: %v", round+1, k, err)
				p99.fault(k, round, err)
				continue
			}
			last := inMillis(got.last)
			p99.set(k, round, stats.Quantile(last, 0.99))
			p50.set(k, round, stats.Quantile(last, 0.5))
			all.set(k, round, got.pushesSeen.Times.Quantile(0.99).Seconds()*1e3)
			b.say("round %d: %v: p50 %.1f ms, p99 %.1f ms to the last of %d clients", round+1, k, stats.Quantile(last, 0.5), stats.Quantile(last, 0.99), n)
		}
	}
	return []*row{p99, p50, all}, nil
}

func inMillis(times []time.Duration) []float64 {
	var all []float64
	for _, t := range times {
		all = append(all, t.Seconds()*1e3)
	}
	return all
}
