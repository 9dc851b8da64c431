package presence

import (
	"fmt"
	"testing"
	"time"

	"rollcall/internal/fault"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// kill makes the heartbeat of n stop and its last one so old, and ends n as kill -9 does. It returns that heartbeat.
func (n *node) kill(t *testing.T, ago time.Duration) (heard int64) {
	t.Helper()
	db := n.cfg.DB
	now := ask(t, db, "SELECT MAX(heartbeat_at) FROM nodes WHERE id = ?", n.cfg.Node)
	heard = now - ago.Milliseconds()
	do(t, db, "UPDATE presence_sessions SET opened_at = opened_at - ?", (ago + time.Minute).Milliseconds())
	do(t, db, "UPDATE nodes SET heartbeat_at = ? WHERE id = ?", heard, n.cfg.Node)
	n.crash(t)
	return heard
}

func slow(p *Presence) { p.cfg.Heartbeat, p.cfg.Grace = time.Hour, 2*time.Second }

// A node that was killed and comes back under its id: its sessions ended with its last heartbeat, long before the
// start, their users have their whole grace from now, and who returns has a gap.
func TestAttendanceAfterRestart(t *testing.T) {
	for _, dialect := range []string{store.SQLite, store.MySQL} {
		t.Run(dialect, func(t *testing.T) {
			reopen := crashable(t, dialect)
			n := start(t, reopen(), slow)
			for _, user := range []string{"anna", "bob"} {
				n.open(t, user)
			}
			heard := n.kill(t, 10*time.Second)
			m := start(t, reopen(), slow)
			if got := m.truth(t, "anna"); got.State != Reconnecting || got.Reason != NodeLost {
				t.Errorf("anna at the start: %+v", got)
			}
			if since := ask(t, m.cfg.DB, "SELECT since FROM presence WHERE user_id = 'anna'"); since < heard+10_000 {
				t.Errorf("the grace counts from %d, the node was last heard of at %d", since, heard)
			}
			m.open(t, "bob")
			back := ask(t, m.cfg.DB, "SELECT MAX(opened_at) FROM presence_sessions WHERE user_id = 'bob'")
			all, err := m.Attendance(t.Context(), "c", 0)
			if err != nil || len(all) != 2 {
				t.Fatalf("%+v, %v", all, err)
			}
			for _, a := range all {
				if i := a.Intervals[0]; i.To != heard || i.Reason != NodeLost {
					t.Errorf("%s: %+v, want an end at %d", a.UserID, a.Intervals, heard)
				}
				if a.UserID == "bob" && (len(a.Intervals) != 2 || a.Intervals[1].From != back) {
					t.Errorf("bob came back at %d: %+v", back, a.Intervals)
				}
			}
			m.becomes(t, "anna", Offline)
			if got := m.state(t, "bob"); got != Online {
				t.Errorf("bob is %s", got)
			}
		})
	}
}

// Another node sees a node dead: the sessions ended with the last heartbeat it could see.
func TestAttendanceAfterDeath(t *testing.T) {
	reopen := crashable(t, store.MySQL)
	a := start(t, reopen(), nil)
	b := start(t, reopen(), func(p *Presence) { p.cfg.Node = "n2" })
	a.open(t, "anna")
	a.crash(t)
	heard := ask(t, b.cfg.DB, "SELECT heartbeat_at FROM nodes WHERE id = 'n1'")
	b.becomes(t, "anna", Offline)
	all, err := b.Attendance(t.Context(), "c", 0)
	if err != nil || len(all) != 1 || all[0].Intervals[0].To != max(heard, all[0].Intervals[0].From) {
		t.Errorf("%+v, %v, last heard of at %d", all, err, heard)
	}
}

// A crash between calling the run before dead and taking its place loses nothing: the next start goes on with it.
func TestCrashWhileBurying(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		heard := time.Now().Add(-time.Minute).UnixMilli()
		for i := range 3 * batchMax / 2 {
			s := past(t, db, stayed{fmt.Sprintf("u%d", i), "", 1000, 0, ""})
			if i < batchMax {
				do(t, db, "UPDATE presence_sessions SET node_id = 'n1', epoch = 7 WHERE id = ?", s)
				continue
			}
			do(t, db, "UPDATE presence_sessions SET node_id = 'n1', epoch = 7, closed_at = ?, reason = 'node_lost' WHERE id = ?", heard, s)
		}
		do(t, db, "INSERT INTO nodes (id, epoch, state, heartbeat_at, started_at) VALUES ('n1', 7, 'dead', ?, 1)", heard)
		n := start(t, db, nil)
		if got := ask(t, db, "SELECT COUNT(*) FROM presence_sessions WHERE closed_at = ? AND reason = 'node_lost'", heard); got != 3*batchMax/2 {
			t.Errorf("%d sessions ended with the heartbeat", got)
		}
		if n.currentEpoch() <= 7 {
			t.Errorf("epoch %d", n.currentEpoch())
		}
	})
}

// A bar holds in its conference or everywhere, until its time, and can be lifted.
func TestBars(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := New(Config{DB: db, Node: "n1"})
		later, before := time.Now().Add(time.Hour).UnixMilli(), time.Now().Add(-time.Second).UnixMilli()
		barred := func(user, conf string, want bool) {
			t.Helper()
			if bars, err := p.Bars(t.Context(), []string{"x", user, user}); err != nil || bars.Keep(user, conf) != want {
				t.Errorf("%s in %q: %v, %v", user, conf, bars, err)
			}
		}
		for _, b := range []barRow{{"anna", "c", later}, {"bob", "", later}, {"eve", "c", before}} {
			if err := p.Bar(t.Context(), b.UserID, b.ConferenceID, b.UntilAt); err != nil {
				t.Fatal(err)
			}
		}
		barred("anna", "c", true)
		barred("anna", "d", false)
		barred("anna", "", false)
		barred("bob", "c", true)
		barred("bob", "", true)
		barred("eve", "c", false)
		if err := p.Bar(t.Context(), "bob", "", before); err != nil {
			t.Fatal(err)
		}
		barred("bob", "c", false)
	})
}

// What is old goes, in batches; what is open, young or needed stays.
func TestTrim(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		now := time.Now().UnixMilli()
		old := now - 2*time.Hour.Milliseconds()
		for i := range chunk + 7 {
			past(t, db, stayed{fmt.Sprintf("u%d", i), "", 1, old, Left})
		}
		past(t, db, stayed{"young", "", 1, now, Left})
		past(t, db, stayed{"open", "", 1, 0, ""})
		for id, state := range map[string]string{"elsewhere": nodeUp, "gone": nodeStopped, "away": nodeDead} {
			do(t, db, "INSERT INTO nodes (id, epoch, state, heartbeat_at, started_at) VALUES (?, 1, ?, 1, 1)", id, state)
		}
		do(t, db, "INSERT INTO nodes (id, epoch, state, heartbeat_at, started_at) VALUES ('late', 1, 'dead', ?, 1)", now)
		do(t, db, "UPDATE presence_sessions SET node_id = 'away' WHERE user_id = 'open'")
		p := New(Config{DB: db, Node: "n1", Retention: time.Hour})
		for user, until := range map[string]int64{"x": now - 1000, "y": now + time.Hour.Milliseconds()} {
			if err := p.Bar(t.Context(), user, "c", until); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.trimOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		for query, want := range map[string]int64{
			"SELECT COUNT(*) FROM presence_sessions":                        2,
			"SELECT COUNT(*) FROM nodes":                                    3,
			"SELECT COUNT(*) FROM nodes WHERE id = 'gone'":                  0,
			"SELECT COUNT(*) FROM presence_bars":                            1,
			"SELECT COUNT(*) FROM presence_bars WHERE user_id = 'y'":        1,
			"SELECT COUNT(*) FROM presence_sessions WHERE user_id = 'u1'":   0,
			"SELECT COUNT(*) FROM presence_sessions WHERE user_id = 'open'": 1,
		} {
			if got := ask(t, db, query); got != want {
				t.Errorf("%s: %d, want %d", query, got, want)
			}
		}
		past(t, db, stayed{"u1", "", 1, old, Left})
		p.cfg.Retention = 0
		if err := p.trimOnce(t.Context()); err != nil || ask(t, db, "SELECT COUNT(*) FROM presence_sessions WHERE user_id = 'u1'") != 1 {
			t.Errorf("without a retention something was deleted, %v", err)
		}
	})
}

// Trimming happens by itself while the service runs.
func TestTrimRuns(t *testing.T) {
	db := storetest.Open(t, store.SQLite)
	past(t, db, stayed{"anna", "", 1, 2, Left})
	start(t, db, func(p *Presence) { p.cfg.Retention, p.trimFirst = time.Hour, 10*time.Millisecond })
	storetest.Eventually(t, func() bool { return ask(t, db, "SELECT COUNT(*) FROM presence_sessions") == 0 }, "the old session is gone")
}

// A node that lives cannot be purged. The sessions of one that does not are closed at once, with its last heartbeat.
func TestPurge(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, func(p *Presence) {
			p.cfg.NodeTimeout, p.reconcileEvery, p.cfg.Grace = time.Hour, time.Hour, time.Minute
		})
		heard := time.Now().Add(-2 * time.Hour).UnixMilli()
		do(t, db, "INSERT INTO nodes (id, epoch, state, heartbeat_at, started_at) VALUES ('elsewhere', 1, 'up', ?, 1)", heard)
		do(t, db, "INSERT INTO presence (conference_id, user_id, state, since, arrived_at) VALUES ('c', 'anna', 'online', 1, 1)")
		past(t, db, stayed{"anna", "", 1, 0, ""})
		n.open(t, "bob")
		if _, err := n.Purge(t.Context(), "n1"); fault.Of(err) == nil || fault.Of(err).Code != "node_alive" || !fault.Is(err, fault.Conflict) {
			t.Errorf("purge of a living node: %v", err)
		}
		if _, err := n.Purge(t.Context(), "unheard-of"); !fault.Is(err, fault.NotFound) {
			t.Errorf("purge of nobody: %v", err)
		}
		if closed, err := n.Purge(t.Context(), "elsewhere"); err != nil || closed != 1 {
			t.Fatalf("closed %d, %v", closed, err)
		}
		if got := n.truth(t, "anna"); got.State != Reconnecting || got.Reason != NodeLost {
			t.Errorf("anna: %+v", got)
		}
		if got := ask(t, db, "SELECT closed_at FROM presence_sessions WHERE user_id = 'anna'"); got != heard {
			t.Errorf("closed at %d, want %d", got, heard)
		}
		if closed, err := n.Purge(t.Context(), "elsewhere"); err != nil || closed != 0 {
			t.Errorf("again: closed %d, %v", closed, err)
		}
		if got := n.state(t, "bob"); got != Online {
			t.Errorf("bob is %s", got)
		}
	})
}
