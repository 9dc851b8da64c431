package cluster

import (
	"strings"
	"testing"
	"time"

	"rollcall/internal/plantest"
)

// What deletes old letters finds them by an index.
func TestTrimPlans(t *testing.T) {
	s := plantest.New(t, "mailbox")
	c := New(Config{DB: s.Open(t), Node: "n1"})
	if err := c.trimOnce(t.Context(), 9*time.Minute); err != nil {
		t.Fatal(err)
	}
	shapes, wrong := plantest.Judge(t, s.Beside, s.Heard(0), nil)
	for _, w := range wrong {
		t.Error(w)
	}
	if !strings.Contains(strings.Join(shapes, "\n"), "DELETE FROM mailbox") {
		t.Errorf("nothing was deleted: %q", shapes)
	}
}
