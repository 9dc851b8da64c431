package presence

import (
	"testing"
	"time"

	"rollcall/internal/id"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

const insertSession = `INSERT INTO presence_sessions (id, conference_id, user_id, node_id, epoch, opened_at) VALUES (?, 'c', ?, ?, ?, ?)`

// A session that is held but whose row is gone, closed, or whose user's row is wrong, is put back.
func TestHeldSessionIsPutBack(t *testing.T) {
	for _, damage := range []string{
		"DELETE FROM presence_sessions",
		"UPDATE presence_sessions SET closed_at = 1, reason = 'lost'",
		"DELETE FROM presence",
		"UPDATE presence SET state = 'offline'",
		"UPDATE presence SET state = 'nonsense'",
	} {
		t.Run(damage, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				n := start(t, db, func(p *Presence) { p.cfg.Grace = time.Minute })
				s, _ := n.open(t, "anna")
				do(t, db, damage)
				storetest.Eventually(t, func() bool {
					return n.state(t, "anna") == Online && ask(t, db, "SELECT COUNT(*) FROM presence_sessions WHERE closed_at IS NULL AND id = ?", s) == 1
				}, "healed")
				n.Close(s, Left)
				n.becomes(t, "anna", Offline)
			})
		})
	}
}

// A row of this node that no socket stands behind is closed as lost; its user goes after the grace.
func TestRowWithoutSocketIsClosed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, nil)
		do(t, db, insertSession, id.New(), "ghost", "n1", n.currentEpoch(), 1)
		n.open(t, "anna")
		storetest.Eventually(t, func() bool {
			return ask(t, db, "SELECT COUNT(*) FROM presence_sessions WHERE user_id = 'ghost' AND closed_at IS NOT NULL AND reason = 'lost'") == 1
		}, "the row is closed")
		if got := n.state(t, "anna"); got != Online {
			t.Errorf("anna is %s", got)
		}
	})
}

// A user called online without any session goes through grace and offline.
func TestOnlineWithoutSession(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, nil)
		do(t, db, "INSERT INTO presence (conference_id, user_id, state, since, arrived_at) VALUES ('c', 'ghost', 'online', 1, 1)")
		n.becomes(t, "ghost", Offline)
		storetest.Eventually(t, func() bool { return len(n.told("ghost")) == 2 }, "told in two steps")
	})
}

// Sessions of unknown nodes and epochs do not stay open.
func TestOrphans(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, nil)
		do(t, db, insertSession, id.New(), "ghost", "unknown", 1, 1)
		do(t, db, insertSession, id.New(), "ghost", "n1", n.currentEpoch()-1, 1)
		storetest.Eventually(t, func() bool {
			return ask(t, db, "SELECT COUNT(*) FROM presence_sessions WHERE closed_at IS NULL") == 0
		}, "all closed")
		if got := ask(t, db, "SELECT COUNT(*) FROM presence_sessions WHERE reason = 'node_lost'"); got != 2 {
			t.Errorf("%d closed as node_lost, want 2", got)
		}
	})
}
