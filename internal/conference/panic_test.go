package conference

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"gorm.io/gorm"

	"rollcall/internal/hall"
	"rollcall/internal/presence"
	"rollcall/internal/rescue"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// netted is a house whose panics are counted, by the work they ended.
func netted(t *testing.T, db *store.DB, change func(*Config)) (b *built, panics func(work string) float64) {
	t.Helper()
	registry := prometheus.NewRegistry()
	b = build(t, db, func(c *Config) {
		c.Net = rescue.New(slog.New(slog.DiscardHandler), registry)
		if change != nil {
			change(c)
		}
	})
	return b, func(work string) (n float64) {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if m.GetLabel()[0].GetValue() == work {
					n = m.GetCounter().GetValue()
				}
			}
		}
		return n
	}
}

// trips makes the next calls of a method of the hall panic.
func (b *built) trips(method string, times int64) {
	var left atomic.Int64
	left.Store(times)
	b.hall.do(func() {
		b.hall.trip = func(called string) {
			if called == method && left.Add(-1) >= 0 {
				panic("the hall is on fire")
			}
		}
	})
}

// A panic in the background costs nobody the process, nor the room what it was to be shown or told, wherever it happens.
func TestPanicIsCaught(t *testing.T) {
	b, panics := netted(t, storetest.Open(t, store.SQLite), nil)
	anna := b.arrive(t, "anna", "42")
	b.shows(t, "42", "headData", `{"onLineNumber":1}`)
	for i, method := range []string{"Push", "Occupancy"} {
		b.trips(method, 2)
		user := string(rune('b' + i))
		b.arrive(t, user, "42")
		storetest.Eventually(t, func() bool { return panics("keep a conference")+panics("look around") == float64(2*(i+1)) }, method+" did not panic")
		b.shows(t, "42", "headData", `{"onLineNumber":`+string(rune('2'+i))+`}`)
	}
	b.trips("EmitAll", 1)
	b.arrive(t, "dora", "43")
	storetest.Eventually(t, func() bool { return panics("deliver letters") == 1 }, "nothing was announced")
	b.arrive(t, "emil", "43")
	storetest.Eventually(t, func() bool { return len(b.hall.heard("online_notice")) > 0 }, "nothing is announced any more")
	b.trips("End", 2)
	b.Kick(t.Context(), "anna", "42", "bye") // her sessions are closed all the same
	if panics("end sockets") != 2 || b.stateOf(t, "anna") != presence.Offline || b.Holds(anna) {
		t.Errorf("%v panics, she is %s", panics("end sockets"), b.stateOf(t, "anna"))
	}
}

// What is due in one conference panics: it does in others, and the next round comes.
func TestPanicOfAgenda(t *testing.T) {
	db := storetest.Open(t, store.SQLite)
	var broken atomic.Bool
	broken.Store(true)
	hook := func(tx *gorm.DB) {
		if tx.Statement.Table == "conference_timers" && broken.Swap(false) {
			panic("the clock has stopped")
		}
	}
	register := func(_ context.Context, tx *gorm.DB) error {
		return tx.Callback().Delete().After("gorm:delete").Register(t.Name(), hook)
	}
	b, panics := netted(t, db, nil)
	soon := int64(1)
	if err := db.Write(t.Context(), register); err != nil {
		t.Fatal(err)
	}
	for i, conf := range []string{"one", "two"} {
		if _, err := b.Timer(t.Context(), conf, "start", &soon); err != nil {
			t.Fatal(err)
		}
		storetest.Eventually(t, func() bool { return panics("finish timers") == 1 && len(b.hall.heard("timer_finished")) == i+1 }, conf+" has not come to its end")
	}
}

// Who is looked at in a look that panics is told that it failed; the next one is let in.
func TestPanicAtTheGate(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		left := int64(1)
		after(t, db, func(statement string) {
			if strings.Contains(statement, "`ended_at` FROM `conferences`") && atomic.AddInt64(&left, -1) == 0 {
				panic("no such column")
			}
		})
		b, panics := netted(t, db, nil)
		if _, err := b.Arrive(t.Context(), newSession("anna", "42"), Free); !errors.Is(err, rescue.ErrPanic) {
			t.Errorf("an arrival that panicked: %v", err)
		}
		b.arrive(t, "anna", "42")
		if panics("look who may come in") != 1 {
			t.Error("no panic was counted")
		}
	})
}

// A client for the meeting backend, and whoever looks for those outside, may panic: members are then those who are there.
func TestPanicOfWhoIsAsked(t *testing.T) {
	var calls atomic.Int64
	b, panics := netted(t, storetest.Open(t, store.SQLite), func(c *Config) {
		c.MembersURL = "http://127.0.0.1:9/{conferenceId}/{userId}"
		c.Client = &http.Client{Transport: tripping(func() {
			calls.Add(1)
			panic("no such host")
		})}
	})
	b.arrive(t, "anna", "42")
	if users, err := b.Members(t.Context(), "42", "x"); err != nil || len(users) != 1 {
		t.Errorf("members %v, %v", users, err)
	}
	if panics("ask for members") == 0 || calls.Load() == 0 {
		t.Error("nobody was asked")
	}
}

type tripping func()

func (f tripping) RoundTrip(*http.Request) (*http.Response, error) { f(); return nil, nil }

// Who told of somebody outside panics: the next one is told.
func TestPanicOutside(t *testing.T) {
	server := newBackend(t, says(`["ben"]`))
	b, panics := netted(t, storetest.Open(t, store.SQLite), func(c *Config) { c.MembersURL = server.URL + "/{conferenceId}"; c.LogTree = "off" })
	b.hall.do(func() { b.hall.sockets = []hall.Socket{{SessionID: "s", UserID: "ben"}} })
	b.trips("Find", outsideWorkers)
	for i := range outsideWorkers + 1 {
		b.arrive(t, "anna", string(rune('a'+i)))
	}
	storetest.Eventually(t, func() (told bool) {
		for _, s := range b.hall.heard("online_notice") {
			told = told || s.to.Sessions != nil
		}
		return told && panics("tell members outside") == outsideWorkers
	}, "nobody is told any more")
}
