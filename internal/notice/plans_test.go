package notice

import (
	"strings"
	"testing"
	"time"

	"rollcall/internal/plantest"
)

// What deletes the old part of the log finds it by an index, in small parts.
func TestTrimPlans(t *testing.T) {
	s := plantest.New(t, "notices", "notice_deliveries", "notice_due", "notice_client_messages")
	n := New(Config{DB: s.Open(t), Window: time.Minute, Retention: 45 * 24 * time.Hour, Log: silent()})
	if err := n.trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	shapes, wrong := plantest.Judge(t, s.Beside, s.Heard(0), nil)
	for _, w := range wrong {
		t.Error(w)
	}
	for _, part := range []string{"DELETE FROM notices WHERE id >=", "DELETE FROM notice_deliveries", "DELETE FROM notice_due", "DELETE FROM `notice_client_messages`"} {
		if !strings.Contains(strings.Join(shapes, "\n"), part) {
			t.Errorf("%s was not heard", part)
		}
	}
}
