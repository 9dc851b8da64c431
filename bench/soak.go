package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"rollcall/bench/load"
	"rollcall/bench/proc"
	"rollcall/bench/stats"
)

// gauge is one thing that must not grow, looked at again and again.
type gauge struct {
	what   string
	unit   func(float64) string
	slack  float64 // how much more, as a share, is no growth
	look   func(context.Context) (float64, error)
	values []float64
}

// gauges are what the long run looks at.
func (b *bench) gauges(s *server) []*gauge {
	metric := func(name string, unit float64) func(context.Context) (float64, error) {
		return func(ctx context.Context) (float64, error) {
			v, err := s.metric(ctx, name)
			return v / unit, err
		}
	}
	rss := func(context.Context) (float64, error) {
		n, err := proc.RSS(s.pid)
		return float64(n) / (1 << 20), err
	}
	descriptors := func(context.Context) (float64, error) {
		n, err := proc.Descriptors(s.pid)
		return float64(n), err
	}
	rows := func(ctx context.Context) (n float64, err error) {
		err = b.services.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+s.database+".presence_sessions WHERE closed_at IS NULL").Scan(&n)
		return n, err
	}
	return []*gauge{
		{what: "heap in use", unit: mib, slack: 0.1, look: metric(heapMetric, 1<<20)},
		{what: "resident memory", unit: mib, slack: 0.1, look: rss},
		{what: "goroutines", unit: whole, slack: 0.02, look: metric(goroutinesMetric, 1)},
		{what: "descriptors", unit: whole, slack: 0.02, look: descriptors},
		{what: "sessions open in the database", unit: whole, slack: 0.02, look: rows},
	}
}

func mib(v float64) string   { return digits(v) + " MiB" }
func whole(v float64) string { return fmt.Sprintf("%.0f", v) }

// halves returns the medians of the second and of the last fifth: in the first, pools and caches reach their size.
func (g *gauge) halves() (early, late float64) {
	fifth := max(1, len(g.values)/5)
	end := min(2*fifth, len(g.values))
	return stats.Median(g.values[min(fifth, end-1):end]), stats.Median(g.values[len(g.values)-fifth:])
}

// flat reports whether it did not grow.
func (g *gauge) flat() bool {
	early, late := g.halves()
	return late <= early*(1+g.slack)
}

// hourly returns the growth in an hour, by least squares over all but the first fifth.
func (g *gauge) hourly(every time.Duration) float64 {
	from := len(g.values) / 5
	var x []float64
	for i := range g.values[from:] {
		x = append(x, (time.Duration(i) * every).Hours())
	}
	_, b, ok := stats.Line(x, g.values[from:])
	if !ok {
		return math.NaN()
	}
	return b
}

// soak lets people come and go for a long time and looks whether anything grows.
func (b *bench) soak(ctx context.Context, long time.Duration) (string, error) {
	s, err := b.startServer(ctx, rollcall)
	if err != nil {
		return "", err
	}
	defer s.stop()
	n := b.plan.soak
	rooms := max(1, n/100)
	people := 0 // who have come so far
	fleet := load.NewFleet(func(*load.Conn, []byte) {})
	defer fleet.Close()
	come := func(n int) error {
		first := people
		people += n
		return fleet.Add(ctx, n, parallel, func(i int) load.Way {
			return s.way(fmt.Sprintf("user-%d", first+i), fmt.Sprintf("soak-%d", (first+i)%rooms))
		})
	}
	if err := come(n); err != nil {
		return "", err
	}
	for i := range rooms {
		if err := s.patch(ctx, fmt.Sprintf("soak-%d", i), target.content(0)); err != nil {
			return "", err
		}
	}
	b.say("%d clients in %d conferences; 1 %% of them change every second, and 5 trees", n, rooms)
	gauges := b.gauges(s)
	if err := b.churn(ctx, churn{s, fleet, come, rooms, long, gauges}); err != nil {
		return "", err
	}
	return soakTable(gauges), verdict(gauges, fleet.Err())
}

// churn is people who come and go, and trees that change.
type churn struct {
	server *server
	fleet  *load.Fleet
	come   func(n int) error
	rooms  int
	long   time.Duration
	gauges []*gauge
}

// soakEvery is the time between two looks.
const soakEvery = 5 * time.Second

func (b *bench) churn(ctx context.Context, c churn) error {
	failed := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { failed <- b.change(ctx, c) }()
	begin := time.Now()
	for second := 1; time.Since(begin) < c.long; second++ {
		going := max(1, c.fleet.Size()/100)
		c.fleet.Dismiss(going)
		if err := c.come(going); err != nil {
			return err
		}
		if second%int(soakEvery/time.Second) == 0 {
			if err := b.look(ctx, c, time.Since(begin)); err != nil {
				return err
			}
		}
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Until(begin.Add(time.Duration(second) * time.Second))):
		}
	}
	return nil
}

// change changes a tree five times a second, one conference after another.
func (b *bench) change(ctx context.Context, c churn) error {
	tick := time.NewTicker(time.Second / 5)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		if err := c.server.push(ctx, fmt.Sprintf("soak-%d", i%c.rooms), b.next(1)); err != nil {
			return err
		}
	}
}

func (b *bench) look(ctx context.Context, c churn, at time.Duration) error {
	line := fmt.Sprintf("%v of %v:", at.Round(time.Second), c.long)
	for _, g := range c.gauges {
		v, err := g.look(ctx)
		if err != nil {
			return err
		}
		g.values = append(g.values, v)
		line += " " + g.what + " " + g.unit(v) + ","
	}
	if n := len(c.gauges[0].values); n%6 == 0 || n == 1 {
		b.say("%s", line[:len(line)-1])
	}
	return nil
}

func soakTable(gauges []*gauge) string {
	lines := [][]string{{"what", "second fifth", "last fifth", "least", "most", "an hour", "most growth", ""}}
	for _, g := range gauges {
		if len(g.values) == 0 {
			continue
		}
		early, late := g.halves()
		held := "held"
		if !g.flat() {
			held = "NOT HELD"
		}
		lines = append(lines, []string{
			g.what, g.unit(early), g.unit(late), g.unit(slices.Min(g.values)), g.unit(slices.Max(g.values)),
			fmt.Sprintf("%+.1f %%", 100*g.hourly(soakEvery)/early), fmt.Sprintf("%.0f %%", 100*g.slack), held,
		})
	}
	return markdown(lines)
}

// verdict is an error if a client was lost or something grew.
func verdict(gauges []*gauge, lost error) error {
	if lost != nil {
		return lost
	}
	if slices.ContainsFunc(gauges, func(g *gauge) bool { return len(g.values) == 0 || !g.flat() }) {
		return errNotHeld
	}
	return nil
}
