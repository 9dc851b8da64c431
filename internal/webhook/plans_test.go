package webhook

import (
	"strings"
	"testing"
	"time"

	"rollcall/internal/plantest"
)

// What deletes old events, and gives up those of endpoints that are gone, finds them by an index, in small parts.
func TestTrimPlans(t *testing.T) {
	s := plantest.New(t, "webhook_outbox", "webhook_lanes")
	plantest.Do(t, s.Beside, "UPDATE webhook_lanes SET due_at = 1 WHERE conference_id IN ('c7', 'c8')")
	plantest.Do(t, s.Beside, "UPDATE webhook_outbox SET state = 'pending' WHERE conference_id IN ('c7', 'c8')")
	n := newNode(t, s.Open(t), Endpoint{URL: "http://x.example"})
	n.retention, n.pace.keepSent, n.pace.trimPause = 45*24*time.Hour, 45*24*time.Hour, time.Millisecond
	n.trim(t.Context())
	shapes, wrong := plantest.Judge(t, s.Beside, s.Heard(0), nil)
	for _, w := range wrong {
		t.Error(w)
	}
	for _, part := range []string{"DELETE FROM `webhook_outbox`", "`last_error`=?,`state`=?", "NOT IN (?) ORDER BY due_at"} {
		if !strings.Contains(strings.Join(shapes, "\n"), part) {
			t.Errorf("%s was not heard", part)
		}
	}
}
