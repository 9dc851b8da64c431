package presence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"gorm.io/gorm"

	"rollcall/internal/rescue"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// caught makes the panics of a Presence countable, and returns how many there were in a kind of work.
func caught(p *Presence) func(work string) float64 {
	registry := prometheus.NewRegistry()
	p.cfg.Net = rescue.New(slog.New(slog.DiscardHandler), registry)
	return func(work string) float64 {
		families, err := registry.Gather()
		if err != nil {
			return -1
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if m.GetLabel()[0].GetValue() == work {
					return m.GetCounter().GetValue()
				}
			}
		}
		return 0
	}
}

// tripwire makes statements panic in whoever runs them. mu guards the rest.
type tripwire struct {
	mu   sync.Mutex
	text string
	left int
}

// trip stretches a tripwire in a database that nobody uses yet.
func trip(t *testing.T, db *store.DB) *tripwire {
	t.Helper()
	w := &tripwire{}
	hook := func(_ context.Context, tx *gorm.DB) error {
		c := tx.Callback()
		return errors.Join(c.Query().After("gorm:query").Register("trip", w.touch), c.Row().Before("gorm:row").Register("trip", w.touch),
			c.Raw().Before("gorm:raw").Register("trip", w.touch))
	}
	if err := errors.Join(db.Read(t.Context(), hook), db.Write(t.Context(), hook)); err != nil {
		t.Fatal(err)
	}
	return w
}

// set makes the next statements that hold a text panic, so many of them.
func (w *tripwire) set(text string, times int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text, w.left = text, times
}

func (w *tripwire) touch(tx *gorm.DB) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left > 0 && strings.Contains(tx.Statement.SQL.String(), w.text) {
		w.left--
		panic("tripped over " + w.text)
	}
}

// A panic while somebody's session is written used to end the process, and with it everybody's. Now he alone is told
// that it failed, also when he shares a transaction with others, and nothing of his is left.
func TestPanicOfOneArrival(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var panics func(string) float64
		n := start(t, db, func(p *Presence) {
			panics = caught(p)
			p.cfg.Record = func(_ context.Context, changes []Change) error {
				for _, c := range changes {
					if c.UserID == "eve" {
						panic("eve")
					}
				}
				return nil
			}
		})
		var all sync.WaitGroup
		for i := range 50 {
			user := fmt.Sprint("u", i)
			if i == 25 {
				user = "eve"
			}
			all.Go(func() {
				if _, err := n.Open(t.Context(), session("c", user)); errors.Is(err, rescue.ErrPanic) != (user == "eve") || err != nil && user != "eve" {
					t.Errorf("%s: %v", user, err)
				}
			})
		}
		all.Wait()
		if got := ask(t, db, "SELECT COUNT(*) FROM presence_sessions WHERE user_id = 'eve'"); got != 0 || n.Held() != 49 || n.truth(t, "u1").Online != 49 {
			t.Errorf("%d rows of eve, %d held, %+v", got, n.Held(), n.truth(t, "u1"))
		}
		if panics("write presence") == 0 {
			t.Error("no panic was counted")
		}
	})
}

// Whoever is told of a change panics: what is committed is committed, and the next change is told.
func TestPanicOfWhoIsTold(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var heard atomic.Int64
		var panics func(string) float64
		n := start(t, db, func(p *Presence) {
			panics = caught(p)
			p.cfg.Changed = func([]Change) {
				if heard.Add(1) == 1 {
					panic("deaf")
				}
			}
		})
		s, _ := n.open(t, "anna")
		n.open(t, "bob")
		storetest.Eventually(t, func() bool { return heard.Load() == 2 && panics("tell of presence") == 1 }, "the second change is not told")
		n.Close(s, Left)
		n.becomes(t, "anna", Offline)
		if err := n.PutUsers(t.Context(), []User{{"bob", "Bob"}}); err != nil {
			t.Error(err)
		}
	})
}

// Any loop that panics goes on with its next round: the node keeps its lease, who is lost goes, what is wrong is healed.
// Each of these ended the process.
func TestPanicsOfLoops(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var panics func(string) float64
		wire := trip(t, db)
		n := start(t, db, func(p *Presence) {
			panics = caught(p)
			p.trimFirst, p.trimEvery = 0, 50*time.Millisecond
			p.cfg.Expelled = func() { t.Error("the node lost its lease") }
		})
		anna, _ := n.open(t, "anna")
		n.open(t, "bob")
		for work, text := range map[string]string{
			"send heartbeat":                      "UPDATE nodes SET heartbeat_at",
			"watch other nodes":                   "`nodes` WHERE state",
			"take users offline":                  "offline_due_at <=",
			"close sessions of dead nodes":        "LEFT JOIN nodes",
			"compare sessions and rows":           "LEFT JOIN presence",
			"look for users without sessions":     "NOT EXISTS (\n\t\t\t\tSELECT 1",
			"delete old sessions, nodes and bars": "`presence_bars`",
			"write presence":                      "FROM nodes WHERE id",
		} {
			wire.set(text, 2)
			storetest.Eventually(t, func() bool {
				_, _ = n.Open(t.Context(), session("c", "carl")) // so that there is something to write
				return panics(work) == 2
			}, "it did not go on after a panic: "+work)
		}
		n.Close(anna, Lost)
		n.becomes(t, "anna", Offline)
		n.open(t, "dora")
		do(t, db, "UPDATE presence SET state = 'offline' WHERE user_id = 'bob'") // a foreign hand
		n.becomes(t, "bob", Online)
		beat := ask(t, db, "SELECT heartbeat_at FROM nodes")
		storetest.Eventually(t, func() bool { return ask(t, db, "SELECT heartbeat_at FROM nodes") > beat }, "the heart does not beat")
	})
}

// A panic while the node is registered, or when it was expelled, costs a moment: it tries again.
func TestPanicOfRegistration(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var panics func(string) float64
		wire := trip(t, db)
		wire.set("`nodes` WHERE id =", 1)
		n := start(t, db, func(p *Presence) {
			panics = caught(p)
			p.cfg.Expelled = func() { panic("nobody is to be told") }
		})
		n.open(t, "anna")
		old := n.currentEpoch()
		wire.set("`nodes` WHERE id =", 1)
		do(t, db, "UPDATE nodes SET state = 'dead'")
		storetest.Eventually(t, func() bool { return n.currentEpoch() > old }, "it is not registered anew")
		n.open(t, "anna")
		if panics("register node") != 2 || panics("expel") != 1 {
			t.Errorf("%v panics of the registration, %v of whoever is told of the end", panics("register node"), panics("expel"))
		}
	})
}
