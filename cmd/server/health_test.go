package main

import (
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"rollcall/internal/rescue"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// Everybody may ask /readyz as often as he likes, and each time the database and Redis were asked too: with a few thousand
// questions a second somebody had all their connections. Now it is answered from what was seen at the last look.
func TestReadyAsksNobody(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	db, err := store.Open(t.Context(), storetest.DSN(t, store.SQLite))
	if err != nil {
		t.Fatal(err)
	}
	line := storetest.NewLine(t, storetest.RedisAddr(t))
	r := redis.NewClient(&redis.Options{Addr: line.Addr(), MaxRetries: -1})
	defer r.Close()
	h := newHealth(db, r, func() bool { return false }, rescue.New(log, nil), log)
	reg := prometheus.NewRegistry()
	h.register(reg)
	if got := h.check(t.Context()); got["redis"] == nil {
		t.Error("it is ready although Redis was never seen")
	}
	h.look(t.Context())
	if db, redis := gauge(t, reg, "rollcall_database_up"), gauge(t, reg, "rollcall_redis_up"); db != 1 || redis != 1 {
		t.Errorf("both answer, and the gauges say %v and %v", db, redis)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	line.Cut()
	if got := h.check(t.Context()); got["database"] != nil || got["redis"] != nil {
		t.Errorf("somebody was asked: %v", got)
	}
	h.look(t.Context())
	if got := h.check(t.Context()); got["database"] == nil || got["redis"] != nil {
		t.Errorf("at the next look it is seen that %v", got)
	}
	if db, redis := gauge(t, reg, "rollcall_database_up"), gauge(t, reg, "rollcall_redis_up"); db != 0 || redis != 0 {
		t.Errorf("both are away, and the gauges say %v and %v", db, redis)
	}
}

// gauge returns the value of a gauge without labels.
func gauge(t *testing.T, r prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}
