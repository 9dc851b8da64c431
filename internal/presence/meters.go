package presence

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"rollcall/internal/complaint"
	"rollcall/internal/fault"
	"rollcall/internal/rescue"
)

// meters are what the operator sees of the writer and of repairs.
type meters struct {
	ops      prometheus.Histogram
	seconds  prometheus.Histogram
	poisoned prometheus.Counter
	healed   *prometheus.CounterVec
	claimed  prometheus.Counter
	expelled prometheus.Counter
}

func newMeters(r prometheus.Registerer, p *Presence) meters {
	f := promauto.With(r)
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "rollcall_presence_sessions", Help: "Sessions held by this process."},
		func() float64 { return float64(p.Held()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "rollcall_presence_users", Help: "Users who have a session in this process, each once."},
		func() float64 { return float64(p.users()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "rollcall_presence_queue", Help: "Opens, closes and checks that wait to be written."},
		func() float64 { return float64(p.queue.len()) })
	return meters{
		ops: f.NewHistogram(prometheus.HistogramOpts{
			Name: "rollcall_presence_batch_ops", Help: "Opens, closes and checks written in one transaction.",
			Buckets: []float64{1, 2, 5, 10, 20, 50, 100, 200},
		}),
		seconds: f.NewHistogram(prometheus.HistogramOpts{
			Name: "rollcall_presence_batch_seconds", Help: "Time of one transaction of the writer.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 13),
		}),
		poisoned: f.NewCounter(prometheus.CounterOpts{Name: "rollcall_presence_failed_total", Help: "Opens, closes and checks that the database refused for what they are."}),
		healed:   f.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_presence_healed_total", Help: "Differences between sockets and rows that were repaired."}, []string{"kind"}),
		claimed:  f.NewCounter(prometheus.CounterOpts{Name: "rollcall_presence_nodes_claimed_total", Help: "Nodes that this one called dead."}),
		expelled: f.NewCounter(prometheus.CounterOpts{Name: "rollcall_presence_expelled_total", Help: "Times that this node was called dead by another."}),
	}
}

func (m meters) batch(ops int, took time.Duration) {
	m.ops.Observe(float64(ops))
	m.seconds.Observe(took.Seconds())
}

// trouble logs what loops that run for ever cannot return: an outage once, other errors every 10 s at most.
type trouble struct {
	log *slog.Logger

	others complaint.Rarely

	mu   sync.Mutex // guards away
	away bool
}

// note takes the result of one round of what.
func (t *trouble) note(what string, err error) {
	switch {
	case err == nil:
		if t.turn(false) {
			t.log.Info("the database is back", "noticed", what)
		}
	case errors.Is(err, errExpelled), errors.Is(err, errStopped), errors.Is(err, rescue.ErrPanic): // not the database's fault, and logged
	case fault.Is(err, fault.Unavailable):
		if t.turn(true) {
			t.log.Warn("the database is away", "noticed", what, "err", err)
		}
	case t.others.Again(what):
		t.log.Error("presence failed", "doing", what, "err", err)
	}
}

// turn notes whether the database is away, and reports whether that is new.
func (t *trouble) turn(away bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.away
	t.away = away
	return was != away
}
