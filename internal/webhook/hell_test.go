package webhook

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// How the receiver of TestReceiverFromHell behaves, beside the statuses.
const (
	silent = 0
	flaky  = -1 // in turn 200, 500 and 429
)

// A receiver that is down, never answers, fails, redirects, refuses one event for ever and recovers, while eight callers
// go on and a node that sends is replaced: nothing is lost but the poisoned event, and nothing overtakes.
func TestReceiverFromHell(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		const conferences = 12
		var mode, turn atomic.Int64
		r := receive(t, func(_ *http.Request, a arrival) int {
			switch now := int(mode.Load()); {
			case now != silent && strings.Contains(a.body, "poison"):
				return http.StatusBadRequest
			case now == flaky:
				return []int{http.StatusOK, http.StatusInternalServerError, http.StatusTooManyRequests}[turn.Add(1)%3]
			default:
				return now
			}
		})
		line := storetest.NewLine(t, r.Listener.Addr().String())
		endpoint := Endpoint{URL: "http://" + line.Addr() + "/hook", Secret: testSecret}
		fresh := func() (stop func()) {
			n := newNode(t, db, endpoint)
			n.pace.attempt, n.pace.goodbye, n.retry.refused = 300*time.Millisecond, 100*time.Millisecond, 500*time.Millisecond
			return n.start(t)
		}
		stop := fresh()
		fresh()
		phases := []func(){
			func() { mode.Store(http.StatusOK) },
			line.Cut,
			func() { mode.Store(silent); line.Mend() },
			func() { mode.Store(http.StatusInternalServerError) },
			func() { stop(); fresh() },
			func() { mode.Store(http.StatusFound) },
			func() { mode.Store(flaky) },
		}
		writer := newNode(t, db, endpoint)
		writer.append(t, "3", map[string]any{"poison": true})
		each := storetest.Size(40, 3) // events of a conference in a phase
		appended := map[string]int64{}
		for i, begin := range phases {
			begin()
			before := tries(t, db)
			spread(t, writer, conferences, each)
			if i > 0 {
				storetest.Eventually(t, func() bool { return tries(t, db) >= before+2*lanesAtOnce }, "the phase is felt")
			}
		}
		for c := range conferences {
			appended[fmt.Sprint(c)] = int64(each * len(phases))
		}
		appended["3"]++
		mode.Store(http.StatusOK)
		idle(t, db)
		all, poisoned := rows(t, db), map[string]bool{}
		for _, row := range all {
			if row.State == dead {
				poisoned[fmt.Sprint(row.ConferenceID, "/", row.Seq)] = true
			}
		}
		v := r.judge(appended, poisoned)
		storetest.Show(t, "webhooks to a receiver that was down, silent, failing, redirecting and flaky, from 2 nodes of which 1 was replaced: %d events in %d conferences, %d requests, all signatures verified; "+
			"sent %d, poisoned and set aside %d, lost %d, doubled %d, out of order %d, two at once in a conference %d",
			len(all), conferences, len(r.all()), inState(t, db, sent), len(poisoned), v.lost, v.doubled, v.disordered, r.overlaps)
		if len(all) != conferences*each*len(phases)+1 || v.lost+v.disordered+r.overlaps > 0 || len(poisoned) != 1 || !poisoned["3/1"] {
			t.Errorf("%d events, %+v, %d overlaps, dead %v", len(all), v, r.overlaps, poisoned)
		}
	})
}

// spread has eight callers append each events to each of the conferences.
func spread(t *testing.T, n *node, conferences, each int) {
	t.Helper()
	var callers sync.WaitGroup
	for caller := range 8 {
		callers.Go(func() {
			for i := caller; i < conferences*each; i += 8 {
				n.append(t, fmt.Sprint(i%conferences), map[string]any{"caller": caller})
			}
		})
	}
	callers.Wait()
}

// tries counts the attempts that are in the database.
func tries(t *testing.T, db *store.DB) (n int) {
	t.Helper()
	number(t, db, &n, "SELECT COALESCE(SUM(attempts), 0) FROM webhook_outbox")
	return n
}
