package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"rollcall/bench/load"
	"rollcall/bench/proc"
)

// job is pushes of one size to one room.
type job struct {
	server     *server
	fleet      *load.Fleet
	conference string
	rate       float64       // pushes per second
	warm, long time.Duration // before it is measured, and while it is
	first      int           // number of the first push, where it was taken before
}

// seen is what a job showed.
type seen struct {
	pushes     int
	deliveries int64
	size       float64       // of a message, bytes
	cpu        time.Duration // of the server
	db, redis  time.Duration // of MariaDB and Redis
	took       time.Duration
	last       []time.Duration // from when it was due to the last client, for each push
	pushesSeen *load.Pushes
}

// each returns a time as microseconds per n.
func each(d time.Duration, n int64) float64 { return float64(d) / 1e3 / float64(max(n, 1)) }

// run warms up and measures. A push that did not reach every client exactly once is an error, and so is a server that falls behind.
func (b *bench) run(ctx context.Context, j job) (seen, error) {
	if _, err := b.series(ctx, j, j.warm); err != nil {
		return seen{}, err
	}
	var before, after [3]time.Duration
	if err := b.clocks(j.server, &before); err != nil {
		return seen{}, err
	}
	begin := time.Now()
	p, err := b.series(ctx, j, j.long)
	if err != nil {
		return seen{}, err
	}
	if err := b.clocks(j.server, &after); err != nil {
		return seen{}, err
	}
	s := seen{pushes: count(j.rate, j.long), took: time.Since(begin), pushesSeen: p}
	s.deliveries, s.size = p.Deliveries()
	s.cpu, s.db, s.redis = after[0]-before[0], after[1]-before[1], after[2]-before[2]
	s.last = p.Last(s.pushes)
	return s, nil
}

// clocks reads the CPU time of the server, of MariaDB and of Redis.
func (b *bench) clocks(s *server, into *[3]time.Duration) (err error) {
	for i, pid := range [3]int{s.pid, b.services.dbPID, b.services.redisPID} {
		if into[i], err = proc.CPU(pid); err != nil {
			return err
		}
	}
	return nil
}

func count(rate float64, long time.Duration) int { return max(1, int(rate*long.Seconds())) }

// series pushes at the rate for so long. The next push waits until the one before has arrived everywhere: two changes that come together
// would share a push of rollcall. What that delays is part of the times, which begin when a push was due.
func (b *bench) series(ctx context.Context, j job, long time.Duration) (*load.Pushes, error) {
	n, clients := count(j.rate, long), j.fleet.Size()
	p := load.NewPushes(b.next(n), n)
	j.fleet.Handle(p.Handle)
	begin, gap := load.Now(), time.Duration(float64(time.Second)/j.rate)
	for i := range n {
		due := begin + time.Duration(i)*gap
		time.Sleep(due - load.Now())
		if err := j.server.push(ctx, j.conference, p.Send(i, clients, due)); err != nil {
			return nil, err
		}
		if err := p.Await(ctx, i, arrival); err != nil {
			return nil, cmp.Or(j.fleet.Err(), err)
		}
	}
	if took, due := load.Now()-begin, time.Duration(n)*gap; took > due*3/2+time.Second/2 {
		return nil, fmt.Errorf("it fell behind: %d pushes that were due in %v took %v", n, due.Round(time.Millisecond), took.Round(time.Millisecond))
	}
	return p, cmp.Or(j.fleet.Err(), p.Exact(n))
}

// arrival is how long a push may take to the last client.
const arrival = 5 * time.Second

// gather connects n users to a conference, waits until all of them see all of them, and for a moment of rest.
func (b *bench) gather(ctx context.Context, s *server, conference string, n int) (*load.Fleet, error) {
	crowd := load.NewCrowd(n)
	fleet := load.NewFleet(crowd.Handle)
	err := fleet.Add(ctx, n, parallel, func(i int) load.Way { return s.way(fmt.Sprintf("user-%d", i), conference) })
	if err == nil && s.kind == rollcall {
		if err = load.Until(ctx, time.Minute, func() bool { return crowd.Shown() == n }); err != nil {
			err = fmt.Errorf("%d of %d clients see everybody: %w", crowd.Shown(), n, err)
		}
	}
	if err == nil {
		err = pause(ctx, b.plan.rest)
	}
	if err != nil {
		fleet.Close()
		return nil, fmt.Errorf("%v: %w", s.kind, err)
	}
	return fleet, nil
}

// parallel is how many clients connect at a time.
const parallel = 200

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
