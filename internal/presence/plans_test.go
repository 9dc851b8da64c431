package presence

import (
	"strings"
	"testing"
	"time"

	"rollcall/internal/plantest"
)

// What deletes old sessions, aliases, bars and nodes finds them by an index, in small parts.
func TestTrimPlans(t *testing.T) {
	s := plantest.New(t, "nodes", "presence_sessions", "session_aliases", "presence_bars")
	plantest.Do(t, s.Beside, "UPDATE presence_bars SET until_at = 1 WHERE user_id < 'u26'")
	plantest.Do(t, s.Beside, "UPDATE nodes SET heartbeat_at = 1 WHERE id < 'old2'")
	plantest.Do(t, s.Beside, "UPDATE presence_sessions SET closed_at = opened_at WHERE closed_at IS NULL AND conference_id < 'c11'")
	n := prepare(s.Open(t), func(p *Presence) { p.cfg.Retention = 45 * 24 * time.Hour })
	if err := n.trimOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	shapes, wrong := plantest.Judge(t, s.Beside, s.Heard(0), []plantest.Fine{
		{Part: "FROM `presence_bars` WHERE until_at <=", Scan: true, Rows: 2_500, Why: "who is barred now: few, looked at once an hour"},
		{Part: "DELETE FROM nodes WHERE state", Scan: true, Why: "a row per process of the last day"},
		{Part: "SELECT session_id FROM session_aliases a", Scan: true, Rows: 7_000, Why: "an alias of everybody who is connected and gave himself one, looked at once an hour"},
	})
	for _, w := range wrong {
		t.Error(w)
	}
	for _, part := range []string{"DELETE FROM `presence_sessions`", "DELETE FROM `session_aliases`", "DELETE FROM `presence_bars`", "DELETE FROM nodes"} {
		if !strings.Contains(strings.Join(shapes, "\n"), part) {
			t.Errorf("%s was not heard", part)
		}
	}
}
