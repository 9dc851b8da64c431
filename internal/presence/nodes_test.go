package presence

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"rollcall/internal/fault"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
	migrations "rollcall/sql"
)

// crashable returns what opens one and the same database, empty at first, again and again.
func crashable(t *testing.T, dialect string) (open func() *store.DB) {
	t.Helper()
	c := storetest.DSN(t, dialect)
	return func() *store.DB {
		db := storetest.OpenConfig(t, c)
		if err := migrations.Up(t.Context(), db.SQL(), dialect); err != nil {
			t.Fatal(err)
		}
		return db
	}
}

// crash makes n stop as by kill -9: nothing is written any more.
func (n *node) crash(t *testing.T) {
	t.Helper()
	if err := n.cfg.DB.Close(); err != nil {
		t.Fatal(err)
	}
	n.stop()
}

// A planned stop counts as lost: sessions are closed, grace applies, the node signs off.
func TestPlannedStop(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, func(p *Presence) { p.cfg.Grace = time.Minute })
		n.open(t, "anna")
		n.stop()
		if got := n.truth(t, "anna"); got.State != Reconnecting || got.Reason != Lost {
			t.Errorf("anna after the stop: %+v", got)
		}
		if nodes, err := n.Nodes(t.Context()); err != nil || len(nodes) != 1 || nodes[0].State != nodeStopped {
			t.Errorf("nodes %+v, %v", nodes, err)
		}
	})
}

// kill -9 of the only node and restart: who does not come back ends offline, who comes back in time stays, and
// the new epoch is higher than the old one. With a configured id the restart is not refused.
func TestRestartAfterCrash(t *testing.T) {
	for _, dialect := range []string{store.SQLite, store.MySQL} {
		t.Run(dialect, func(t *testing.T) {
			reopen := crashable(t, dialect)
			n := start(t, reopen(), nil)
			n.open(t, "anna")
			n.open(t, "bob")
			epoch := n.currentEpoch()
			n.crash(t)

			m := start(t, reopen(), func(p *Presence) { p.cfg.Grace = 2 * time.Second })
			if m.currentEpoch() <= epoch {
				t.Errorf("epoch %d after %d", m.currentEpoch(), epoch)
			}
			m.open(t, "bob")
			m.becomes(t, "anna", Offline)
			if got := m.truth(t, "anna"); got.Reason != NodeLost {
				t.Errorf("anna: %+v", got)
			}
			if got := m.state(t, "bob"); got != Online {
				t.Errorf("bob is %s", got)
			}
			if slices.Contains(m.told("bob"), "reconnecting>offline:node_lost") {
				t.Error("bob was called offline")
			}
		})
	}
}

// A second node sees the first one die: whoever came back to it stays, the others go.
func TestNodeDies(t *testing.T) {
	reopen := crashable(t, store.MySQL)
	a := start(t, reopen(), nil)
	b := start(t, reopen(), func(p *Presence) { p.cfg.Node, p.cfg.Grace = "n2", time.Second })
	a.open(t, "anna")
	a.open(t, "bob")
	a.crash(t)
	b.open(t, "bob")
	if got := b.state(t, "anna"); got != Online {
		t.Errorf("anna is %s before anybody can know", got)
	}
	b.becomes(t, "anna", Offline)
	storetest.Eventually(t, func() bool {
		return slices.Equal(b.told("anna"), []string{"online>reconnecting:node_lost", "reconnecting>offline:node_lost"})
	}, "anna's way is told")
	if got := b.told("bob"); len(got) != 0 {
		t.Errorf("told of bob: %v", got)
	}
	if got := ask(t, b.cfg.DB, "SELECT COUNT(*) FROM nodes WHERE id = 'n1' AND state = 'dead'"); got != 1 {
		t.Error("n1 was not called dead")
	}
}

// A node that was called dead while it slept finds itself expelled, writes nothing old, and starts over.
func TestExpelled(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		expelled := make(chan struct{}, 1)
		n := start(t, db, func(p *Presence) {
			p.cfg.Heartbeat = 50 * time.Millisecond
			p.cfg.Expelled = func() { expelled <- struct{}{} }
		})
		s, _ := n.open(t, "anna")
		old := n.currentEpoch()
		do(t, db, "UPDATE nodes SET state = 'dead'")
		<-expelled
		n.Close(s, Left) // its socket is closed now; the row is the claimer's
		storetest.Eventually(t, func() bool { return n.currentEpoch() > old }, "registered anew")
		n.becomes(t, "anna", Offline)
		if got := n.truth(t, "anna").Reason; got != NodeLost {
			t.Errorf("reason %s", got)
		}
		n.open(t, "anna")
		if got := n.state(t, "anna"); got != Online {
			t.Errorf("anna is %s", got)
		}
	})
}

// Between the claim and the next heartbeat nothing can be written either: the fence is in the transaction.
func TestFence(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, func(p *Presence) {
			p.cfg.Heartbeat, p.cfg.NodeTimeout, p.reconcileEvery = time.Hour, time.Hour, time.Hour
		})
		n.open(t, "anna")
		do(t, db, "UPDATE nodes SET state = 'dead'")
		if _, err := n.Open(t.Context(), session("c", "bob")); !fault.Is(err, fault.Unavailable) {
			t.Errorf("open after the claim: %v", err)
		}
		if got := ask(t, db, "SELECT COUNT(*) FROM presence_sessions WHERE user_id = 'bob'"); got != 0 {
			t.Errorf("%d rows written after the claim", got)
		}
		storetest.Eventually(t, func() bool { _, err := n.Open(t.Context(), session("c", "bob")); return err == nil }, "starts over")
	})
}

// Two living processes with one id: the second waits, sees the heartbeat move, and says what to do.
func TestTwinIsRefused(t *testing.T) {
	db := storetest.Open(t, store.MySQL)
	n := start(t, db, nil)
	twin := prepare(db, nil)
	twin.run(t)
	if err := <-twin.err; !errors.Is(err, ErrTwin) {
		t.Errorf("twin: %v", err)
	}
	n.open(t, "anna")
}

// A node may be called dead only by one that read the same old heartbeat, without a gap, for the whole timeout.
func TestWatch(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	beat := func(heartbeat int64) []nodeRow { return []nodeRow{{ID: "n2", Epoch: 1, HeartbeatAt: heartbeat}} }
	w := watch{patience: time.Second}
	for _, step := range []struct {
		at    int
		rows  []nodeRow
		blink bool
		dead  int
	}{
		{at: 10000, rows: beat(1)},
		{at: 10400, rows: beat(1)},
		{at: 10800, rows: beat(1)},
		{at: 10999, rows: beat(2)}, // moves in the last moment
		{at: 11400, rows: beat(2)},
		{at: 11800, rows: beat(2)},
		{at: 11900, blink: true}, // the database does not answer: nobody's death
		{at: 12000, rows: beat(2)},
		{at: 12400, rows: beat(2)},
		{at: 15000, rows: beat(2)}, // this process was stopped itself
		{at: 15400, rows: beat(2)},
		{at: 15800, rows: beat(2)},
		{at: 16000, rows: beat(2), dead: 1},
	} {
		if step.blink {
			w.blink()
			continue
		}
		if got := len(w.look(step.rows, at(step.at))); got != step.dead {
			t.Errorf("at %d: %d dead, want %d", step.at, got, step.dead)
		}
	}
}

// The same user joins on two nodes at the same instant: one row, two sessions, and he came once.
func TestSameUserOnTwoNodes(t *testing.T) {
	reopen := crashable(t, store.MySQL)
	a := start(t, reopen(), nil)
	b := start(t, reopen(), func(p *Presence) { p.cfg.Node = "n2" })
	for i := range 50 {
		user := fmt.Sprintf("u%d", i)
		came := make(chan bool, 2)
		for _, n := range []*node{a, b} {
			go func() {
				arrival, err := n.Open(t.Context(), session("c", user))
				if err != nil {
					t.Errorf("open: %v", err)
				}
				came <- arrival.Came
			}()
		}
		if first, second := <-came, <-came; first == second {
			t.Errorf("%s: came %v and %v", user, first, second)
		}
	}
	if got := a.truth(t, "u0").Online; got != 50 {
		t.Errorf("%d online, want 50", got)
	}
	if got := a.versions(t); got.Tree != 50 {
		t.Errorf("tree version %d, want 50", got.Tree)
	}
}
