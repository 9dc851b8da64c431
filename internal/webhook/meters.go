package webhook

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"rollcall/internal/complaint"
	"rollcall/internal/fault"
)

type metrics struct {
	attempts *prometheus.CounterVec
	dead     prometheus.Counter
	waiting  atomic.Int64 // when last counted
	oldest   atomic.Int64 // when the oldest of them was written, Unix milliseconds; 0 without any
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	m := &metrics{
		attempts: f.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_webhook_attempts_total", Help: "Attempts to tell the meeting backend something, by outcome: sent, refused, failed."}, []string{"outcome"}),
		dead:     f.NewCounter(prometheus.CounterOpts{Name: "rollcall_webhook_dead_total", Help: "Webhook events that this process gave up."}),
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "rollcall_webhook_pending", Help: "Webhook events of all nodes that wait, counted every 10 s, at most 100,000."},
		func() float64 { return float64(m.waiting.Load()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "rollcall_webhook_oldest_seconds", Help: "Age of the oldest webhook event of all nodes that waits, looked up every 10 s; 0 when none does."}, m.age)
	return m
}

// age returns for how many seconds the oldest event has waited by now.
func (m *metrics) age() float64 {
	oldest := m.oldest.Load()
	if oldest == 0 {
		return 0
	}
	return max(0, time.Since(time.UnixMilli(oldest)).Seconds()) // another node, of another clock, may have written it
}

// outageGap is how long there must be no failure for the next one to be another outage.
const outageGap = 30 * time.Second

// trouble logs what loops that run for ever cannot return: an outage of the database once, other things every 10 s at most.
type trouble struct {
	log *slog.Logger

	others complaint.Rarely

	mu   sync.Mutex           // guards away
	away map[string]time.Time // when the database was last away, by what was being done
}

// note takes the result of one round of what.
func (t *trouble) note(what string, err error) {
	switch {
	case err == nil:
		if t.back(what) {
			t.log.Info("webhooks go on, the database is back", slog.String("noticed", what))
		}
	case fault.Is(err, fault.Unavailable):
		if t.gone(what) {
			t.log.Warn("webhooks wait, the database is away", slog.String("noticed", what), slog.Any("error", err))
		}
	case t.others.Again(what):
		t.log.Error("webhooks failed", slog.String("doing", what), slog.Any("error", err))
	}
}

// gone reports whether an outage begins. A database that reads and does not write is away for as long as writing fails.
func (t *trouble) gone(what string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	begins := true
	for _, at := range t.away {
		begins = begins && time.Since(at) > outageGap
	}
	if t.away == nil {
		t.away = map[string]time.Time{}
	}
	t.away[what] = time.Now()
	return begins
}

// back reports whether an outage ends.
func (t *trouble) back(what string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, was := t.away[what]
	delete(t.away, what)
	return was && len(t.away) == 0
}

// gaveUp tells of an event that is dead now.
func (t *trouble) gaveUp(e *endpoint, row *outboxRow, r outcome) {
	if t.others.Again("dead: " + e.key) {
		t.log.Warn("a webhook event was given up, see GET /webhooks/deliveries?state=dead", slog.Int("endpoint", e.index), slog.String("url", e.shown),
			slog.String("id", row.ID), slog.String("type", row.Type), slog.Int("attempts", row.Attempts+1), slog.String("last", r.text))
	}
}
