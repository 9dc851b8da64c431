package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/redis/go-redis/v9"

	"rollcall/internal/fault"
	"rollcall/internal/rescue"
	"rollcall/internal/store"
)

// lookEvery is how often the database is asked for a sign of life.
const lookEvery = 500 * time.Millisecond

// health knows whether the node can do its work.
type health struct {
	db       *store.DB
	redis    *redis.Client // may be nil
	draining func() bool
	net      *rescue.Net
	log      *slog.Logger

	mu      sync.Mutex // guards the rest
	away    error      // why the database is away; nil if it answered last time
	started bool       // Redis was there once: from then on its absence does not make the node unready
	cached  bool       // Redis answered last time
}

func newHealth(db *store.DB, r *redis.Client, draining func() bool, net *rescue.Net, log *slog.Logger) *health {
	return &health{db: db, redis: r, draining: draining, net: net, log: log}
}

// run asks the database again and again until ctx ends, and logs when it goes and when it comes back.
func (h *health) run(ctx context.Context) error {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		h.net.Call("look after the database", func() { h.look(ctx) })
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

func (h *health) look(ctx context.Context) {
	err := h.db.Ping(ctx)
	if ctx.Err() != nil {
		return
	}
	h.mu.Lock()
	before := h.away
	h.away = err
	h.mu.Unlock()
	switch {
	case err != nil && before == nil:
		h.log.Error("the database does not answer: sockets stay, newcomers are asked to come back later", slog.Any("error", err))
	case err == nil && before != nil:
		h.log.Info("the database answers again")
	}
	if h.redis != nil {
		h.lookAtRedis(ctx)
	}
}

func (h *health) lookAtRedis(ctx context.Context) {
	answers := h.redis.Ping(ctx).Err() == nil
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cached = answers
	h.started = h.started || answers
}

// register adds gauges of what was seen at the last look. Without Redis there is none for it.
func (h *health) register(r prometheus.Registerer) {
	gauge := func(name, help string, up func() bool) {
		promauto.With(r).NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			h.mu.Lock()
			defer h.mu.Unlock()
			if up() {
				return 1
			}
			return 0
		})
	}
	gauge("rollcall_database_up", "1 if the database answered at the last look, else 0.", func() bool { return h.away == nil })
	if h.redis != nil {
		gauge("rollcall_redis_up", "1 if Redis answered at the last look, else 0; not there without Redis.", func() bool { return h.cached })
	}
}

// admits reports why no socket can be let in for now. It does not wait.
func (h *health) admits() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.away != nil {
		return fault.Away(h.away)
	}
	return nil
}

// check answers for /readyz: what was looked at last, and what was wrong with it. Anybody may ask, and so it asks nobody.
func (h *health) check(context.Context) map[string]error {
	checks := map[string]error{}
	if h.draining() {
		checks["draining"] = errors.New("the node is about to stop")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	checks["database"] = h.away
	if h.redis != nil {
		checks["redis"] = nil
		if !h.started {
			checks["redis"] = errNotThere
		}
	}
	return checks
}

var errNotThere = errors.New("it has not answered yet")
