package system_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/plantest"
	"rollcall/internal/storetest"
)

// Whatever the service asks the database while people come, go, listen and speak is found by an index, and costs as much as what
// is asked for, not as much as what is stored.
func TestPlans(t *testing.T) {
	h := newHot(t)
	h.peopleCome()
	h.treesChange()
	h.noticesGoOut()
	h.inboxesAreRead()
	h.peopleSpeak()
	h.peopleLook()
	h.timesCome()
	h.peopleGo()
	h.hears()
	h.server.stop()
	shapes, wrong := plantest.Judge(t, h.Beside, h.Heard(0), fineOnHotPath)
	for _, w := range wrong {
		t.Error(w)
	}
	lite := slices.DeleteFunc(slices.Clone(shapes), func(shape string) bool {
		return slices.ContainsFunc(notForSQLite, func(part string) bool { return strings.Contains(shape, part) })
	})
	for _, w := range plantest.JudgeSQLite(t, lite, append(fineOnSQLite, fineOnHotPath...)) {
		t.Errorf("SQLite: %s", w)
	}
	storetest.Show(t, "%d distinct statements that look for rows, of %d that were said: none reads a whole table or index but %d that have a reason; nor do the %d that SQLite hears too",
		len(shapes), h.Len(), len(fineOnHotPath), len(lite))
}

// hot is a server on a full database that is listened to. A node "far" with many sockets lives beside it, and "dying" is
// about to be found dead.
type hot struct {
	t *testing.T
	*plantest.Stand
	*server
	anna, ben *wire
}

// room is one of the many conferences, in which somebody is on the other node.
const room = "/api/v1/conferences/c1"

func newHot(t *testing.T) *hot {
	stand := plantest.New(t)
	const now = "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)"
	plantest.Do(t, stand.Beside, "INSERT INTO nodes SELECT 'dying', 1, 'up', "+now+", "+now+", 2")
	plantest.Do(t, stand.Beside, "UPDATE presence_sessions SET node_id = 'dying' WHERE conference_id IN ('c5', 'c7') AND closed_at IS NULL")
	plantest.Do(t, stand.Beside, "UPDATE conference_shares SET session_id = (SELECT id FROM presence_sessions WHERE conference_id = 'c5' AND closed_at IS NULL) WHERE conference_id = 'c5'")
	beat(t, stand)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	t.Cleanup(backend.Close)
	s := &server{t: t, told: fmt.Sprintf("webhooks:\n- {url: %q, secret: %s}\n", backend.URL, webhookSecret)}
	s.launchOn(stand.Config, settings{
		"auth": "jwt", "build": "quick", "database.dsn": stand.Config.DSN, "redis.addr": "", "presence.grace": "1s", "presence.debounce": "500ms",
		"presence.node_heartbeat": "300ms", "presence.node_timeout": "2s", "cluster.poll_interval": "300ms", "notice.ack_timeout": "500ms",
	})
	return &hot{t: t, Stand: stand, server: s}
}

// beat lets the node "far" live for as long as the test does.
func beat(t *testing.T, s *plantest.Stand) {
	ctx, cancel := context.WithCancel(context.Background())
	var heart sync.WaitGroup
	heart.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			if _, err := s.Beside.ExecContext(ctx, "UPDATE nodes SET heartbeat_at = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) WHERE id = 'far'"); err != nil && ctx.Err() == nil {
				t.Errorf("let the other node live: %v", err)
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	t.Cleanup(func() { cancel(); heart.Wait() })
}

// hears waits until the whole hot path has been heard.
func (h *hot) hears() {
	h.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	var missing []string
	for tick := time.NewTicker(50 * time.Millisecond); ; <-tick.C {
		if missing = h.missing(); len(missing) == 0 {
			tick.Stop()
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("was not heard: %q", missing)
		}
	}
}

// missing returns what of the hot path has not been heard.
func (h *hot) missing() (parts []string) {
	said := map[string]bool{}
	for _, s := range h.Heard(0) {
		said[s.Text] = true
	}
	var shapes strings.Builder
	for text := range said {
		shapes.WriteString(plantest.Shape(text) + "\n")
	}
	return slices.DeleteFunc(slices.Clone(hotPath), func(part string) bool { return strings.Contains(shapes.String(), part) })
}

// joins lets somebody in.
func (h *hot) joins(user, conference string, more ...string) *wire {
	h.t.Helper()
	w, err := join(h.base, user, conference, append([]string{"token", token(h.t, user, unsaid)}, more...)...)
	if err != nil {
		h.t.Fatalf("%s joins %s: %v", user, conference, err)
	}
	return w
}

// asks sends an event, which must be answered with ok.
func (h *hot) asks(w *wire, event string, arg any) {
	h.t.Helper()
	answer, err := w.ask(event, arg)
	if err != nil || !strings.Contains(answer, `"ok":true`) {
		h.t.Fatalf("%s is answered %s, %v", event, answer, err)
	}
}
