package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
	migrations "rollcall/sql"
)

// An endpoint that fails every third time, told by eight callers at once: every event arrives once, in order, with the same
// id and bytes in every attempt.
func TestOrderUnderFailures(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var count atomic.Int64
		r := receive(t, func(*http.Request, arrival) int {
			if count.Add(1)%3 == 0 {
				return http.StatusInternalServerError
			}
			return http.StatusOK
		})
		n := newNode(t, db, r.endpoint())
		n.start(t)
		var callers sync.WaitGroup
		for range 8 {
			callers.Go(func() {
				for i := range 10 {
					n.append(t, fmt.Sprint(i%4), nil)
				}
			})
		}
		callers.Wait()
		idle(t, db)
		if v := r.judge(map[string]int64{"0": 24, "1": 24, "2": 16, "3": 16}, nil); v != (verdict{}) || r.overlaps > 0 {
			t.Errorf("%+v, %d overlaps", v, r.overlaps)
		}
		first := map[string]string{}
		for _, a := range r.all() {
			name := fmt.Sprint(a.conference, "/", a.seq)
			if first[name] == "" {
				first[name] = a.id + a.body
			}
			if first[name] != a.id+a.body {
				t.Errorf("%s changed between attempts", name)
			}
		}
		if got := inState(t, db, sent); got != 80 {
			t.Errorf("%d sent", got)
		}
	})
}

// Every way to fail: what is noted of it, and that it is tried again.
func TestFailures(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for _, c := range []struct {
			status int
			note   string
		}{
			{500, "status 500: answer 500 of ***"}, {302, "status 302, redirects are not followed"}, {307, "status 307, redirects are not followed"}, {404, "status 404: answer 404 of ***"},
			{503, "status 503: answer 503 of ***"}, {0, "no answer within 300ms"},
		} {
			var healthy atomic.Bool
			r := receive(t, func(req *http.Request, _ arrival) int {
				if req.URL.Path != "/hook" {
					t.Errorf("a redirect was followed to %s", req.URL)
				}
				if healthy.Load() {
					return http.StatusNoContent
				}
				return c.status
			})
			n := newNode(t, db, r.endpoint())
			n.pace.attempt = 300 * time.Millisecond
			stop := n.start(t)
			conference := fmt.Sprint(c.status)
			n.append(t, conference, nil)
			storetest.Eventually(t, func() bool { return len(r.all()) >= 2 }, conference+": tried twice")
			for _, row := range rows(t, db) {
				if row.ConferenceID == conference && (row.State != pending || row.LastStatus != c.status || row.LastError != c.note || row.Attempts < 1 || *row.FirstAt > *row.LastAt) {
					t.Errorf("%d is noted as %+v", c.status, row)
				}
			}
			healthy.Store(true)
			idle(t, db)
			stop()
			r.Close()
		}
		// An address where nobody listens.
		r := receive(t, nil)
		r.Close()
		n := newNode(t, db, Endpoint{URL: strings.Replace(r.URL, "//", "//user:hush-hush@", 1) + "?token=hush-hush"})
		n.start(t)
		n.append(t, "down", nil)
		var down Delivery
		storetest.Eventually(t, func() bool {
			list, _, err := n.List(t.Context(), pending, "", 1)
			if err != nil || len(list) != 1 {
				t.Fatal(list, err)
			}
			down = list[0]
			return down.Attempts > 1
		}, "tried where nobody listens")
		if !strings.Contains(down.LastError, "refused") || strings.Contains(fmt.Sprintf("%+v", down), "hush") || down.LastStatus != 0 {
			t.Errorf("nobody listens: %+v", down)
		}
	})
}

// One event that the endpoint never takes: it is set aside after a while, and what is behind it goes out in order. It can
// be sent again, with the id it had.
func TestPoisonAndReplay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var healed atomic.Bool
		r := receive(t, func(_ *http.Request, a arrival) int {
			if a.seq == 2 && !healed.Load() {
				return http.StatusBadRequest
			}
			return http.StatusOK
		})
		n := newNode(t, db, r.endpoint())
		n.retry.refused = 300 * time.Millisecond
		n.start(t)
		for range 4 {
			n.append(t, "1", nil)
		}
		idle(t, db)
		v := r.judge(map[string]int64{"1": 4}, map[string]bool{"1/2": true})
		list, _, err := n.List(t.Context(), dead, "", 0)
		if err != nil || v != (verdict{}) || len(list) != 1 || list[0].Seq != 2 || list[0].LastStatus != 400 || *list[0].LastAt-*list[0].FirstAt < 290 {
			t.Fatalf("%+v, dead %+v, %v", v, list, err)
		}
		healed.Store(true)
		if err := n.Replay(t.Context(), list[0].ID); err != nil {
			t.Fatal(err)
		}
		idle(t, db)
		taken := r.taken()
		if last := taken[len(taken)-1]; len(taken) != 4 || last.seq != 2 || last.id != list[0].ID {
			t.Errorf("taken after the replay: %+v", taken)
		}
		if got := rows(t, db)[1]; got.State != sent || got.Attempts != 1 || got.LastError != "" || got.LastStatus != 200 {
			t.Errorf("after the replay: %+v", got)
		}
	})
}

// A replay ends a pause of an hour, and leaves alone the lane that a node works on.
func TestReplayOfPending(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var fails atomic.Bool
		fails.Store(true)
		gate := make(chan struct{})
		r := receive(t, func(_ *http.Request, a arrival) int {
			if fails.Load() {
				return http.StatusBadGateway
			}
			<-gate
			return http.StatusOK
		})
		n := newNode(t, db, r.endpoint())
		n.retry.base, n.retry.longest = time.Hour, time.Hour
		n.start(t)
		n.append(t, "1", nil)
		storetest.Eventually(t, func() bool { return len(r.all()) == 1 && rows(t, db)[0].Attempts == 1 }, "the first attempt")
		fails.Store(false)
		deliveryID := rows(t, db)[0].ID
		for range 3 { // while the second attempt is under way, each would start a third
			if err := n.Replay(t.Context(), deliveryID); err != nil {
				t.Fatal(err)
			}
			storetest.Eventually(t, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.flying["1"] == 1 }, "the second attempt")
		}
		other := newNode(t, db, r.endpoint())
		other.start(t)
		if lanes, err := other.due(t.Context(), []string{other.endpoints[0].key}, 10); err != nil || len(lanes) != 0 {
			t.Errorf("lanes that are up for grabs: %v, %v", lanes, err)
		}
		close(gate)
		idle(t, db)
		if len(r.all()) != 2 || r.overlaps > 0 {
			t.Errorf("attempts %+v", r.all())
		}
	})
}

// Two nodes on one database: no event goes out twice, none overtakes another.
func TestTwoNodes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var count atomic.Int64
		r := receive(t, func(*http.Request, arrival) int {
			if count.Add(1)%5 == 0 {
				return http.StatusServiceUnavailable
			}
			return http.StatusOK
		})
		nodes := []*node{newNode(t, db, r.endpoint()), newNode(t, db, r.endpoint())}
		appended := map[string]int64{}
		var callers sync.WaitGroup
		for i, n := range nodes {
			n.pace.poll = 5 * time.Millisecond // they are always at each other's heels
			n.pace.shift = 3
			n.start(t)
			callers.Go(func() {
				for k := range 60 {
					n.append(t, fmt.Sprint((k+i)%6), nil)
				}
			})
		}
		for c := range 6 {
			appended[fmt.Sprint(c)] = 20
		}
		callers.Wait()
		idle(t, db)
		if v := r.judge(appended, nil); v != (verdict{}) || r.overlaps > 0 {
			t.Errorf("%+v, %d overlaps", v, r.overlaps)
		}
	})
}

// A node that dies in the middle of a request: another one, or the same after its restart, sends the event again with the
// same id once the lease is over, and then what is behind it.
func TestDeath(t *testing.T) {
	for _, dialect := range []string{store.SQLite, store.MySQL} {
		t.Run(dialect, func(t *testing.T) {
			c := storetest.DSN(t, dialect)
			db, err := store.Open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if err := migrations.Up(t.Context(), db.SQL(), dialect); err != nil {
				t.Fatal(err)
			}
			var alive atomic.Bool
			r := receive(t, func(*http.Request, arrival) int {
				if alive.Load() {
					return http.StatusOK
				}
				return 0
			})
			n := newNode(t, db, r.endpoint())
			n.pace.attempt, n.pace.lease, n.pace.goodbye = 2*time.Second, 3*time.Second, 10*time.Millisecond
			stop := n.start(t)
			n.append(t, "1", nil)
			n.append(t, "1", nil)
			storetest.Eventually(t, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.flying["1"] == 1 }, "a request under way")
			if err := db.Close(); err != nil { // nothing is written any more, as after kill -9
				t.Fatal(err)
			}
			stop()
			alive.Store(true)
			again := storetest.OpenConfig(t, c)
			newNode(t, again, r.endpoint()).start(t)
			idle(t, again)
			all := r.all()
			if len(all) != 3 || all[0].id != all[1].id || all[1].seq != 1 || all[2].seq != 2 || r.overlaps > 0 {
				t.Errorf("attempts %+v", all)
			}
		})
	}
}

// A planned stop ends requests that hang, says nothing of them, and leaves the lane to whoever comes, at once.
func TestPlannedStop(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var alive atomic.Bool
		r := receive(t, func(*http.Request, arrival) int {
			if alive.Load() {
				return http.StatusOK
			}
			return 0
		})
		n := newNode(t, db, r.endpoint())
		n.pace.goodbye, n.pace.attempt, n.pace.lease = 50*time.Millisecond, time.Hour, 2*time.Hour
		stop := n.start(t)
		n.append(t, "1", nil)
		storetest.Eventually(t, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.flying["1"] == 1 }, "a request under way")
		stop()
		if row := rows(t, db)[0]; row.State != pending || row.Attempts != 0 {
			t.Errorf("after the stop: %+v", row)
		}
		alive.Store(true)
		newNode(t, db, r.endpoint()).start(t)
		idle(t, db)
		if all := r.all(); len(all) != 2 || all[0].id != all[1].id {
			t.Errorf("attempts %+v", all)
		}
	})
}

// An endpoint that never answers has at most eight conferences under way and keeps nobody from telling another one.
func TestSlowEndpoint(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		slow, quick := receive(t, func(*http.Request, arrival) int { return 0 }), receive(t, nil)
		n := newNode(t, db, slow.endpoint(), quick.endpoint())
		n.pace.attempt, n.pace.lease = 20*time.Second, time.Minute
		n.pace.goodbye = 10 * time.Millisecond
		n.start(t)
		events := make([]Event, 30)
		for c := range events {
			events[c] = Event{Type: "sign_in", ConferenceID: fmt.Sprint(c)}
		}
		if err := n.Append(t.Context(), events[:3]); err != nil {
			t.Fatal(err)
		}
		storetest.Eventually(t, func() bool { return len(quick.taken()) == 3 }, "the first ones") // then the slow one has room for five more
		if err := n.Append(t.Context(), events[3:]); err != nil {
			t.Fatal(err)
		}
		storetest.Eventually(t, func() bool { return len(quick.taken()) == 30 }, "the quick endpoint has heard everything")
		storetest.Eventually(t, func() bool { slow.mu.Lock(); defer slow.mu.Unlock(); return slow.most >= lanesAtOnce }, "the slow one is busy")
		slow.mu.Lock()
		defer slow.mu.Unlock()
		if slow.most != lanesAtOnce || len(slow.arrivals) != 0 {
			t.Errorf("%d conferences at once, %d answers", slow.most, len(slow.arrivals))
		}
	})
}

// A conference where much happens does not keep the others waiting: each gets a turn.
func TestTurns(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := receive(t, nil)
		n := newNode(t, db, r.endpoint())
		n.pace.shift = 2
		for c := range 2 * lanesAtOnce {
			for range 6 {
				n.append(t, fmt.Sprint(c), nil)
			}
		}
		n.start(t)
		idle(t, db)
		first := map[string]int{} // position of the first event of each conference
		for i, a := range r.taken() {
			if _, ok := first[a.conference]; !ok {
				first[a.conference] = i
			}
		}
		for c, at := range first {
			if at > 2*lanesAtOnce*4 {
				t.Errorf("conference %s is heard of only after %d events", c, at)
			}
		}
	})
}

// A lane that another node has taken in the meantime: that the endpoint took the event is noted, that it failed is not.
func TestLostLease(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, Endpoint{URL: "http://x.example"})
		n.append(t, "1", nil)
		lanes, err := n.due(t.Context(), []string{n.endpoints[0].key}, 10)
		if err != nil || len(lanes) != 1 {
			t.Fatal(lanes, err)
		}
		slow := hold{lane: lanes[0].lane(), due: *lanes[0].DueAt}
		head, _, err := n.advance(t.Context(), &slow, step{more: true})
		if err != nil || head == nil {
			t.Fatal(head, err)
		}
		exec(t, db, "UPDATE webhook_lanes SET due_at = due_at + 60000")
		if _, _, err := n.advance(t.Context(), &slow, step{row: head, done: outcome{status: 500}, more: true}); !errors.Is(err, errLost) {
			t.Errorf("a failure: %v", err)
		}
		if row := rows(t, db)[0]; row.Attempts != 0 || row.State != pending {
			t.Errorf("after the failure: %+v", row)
		}
		for range 2 { // the second time it is no longer pending
			if _, _, err := n.advance(t.Context(), &slow, step{row: head, done: outcome{ok: true, status: 200}, more: true}); !errors.Is(err, errLost) {
				t.Errorf("a success: %v", err)
			}
		}
		if row := rows(t, db)[0]; row.State != sent || row.Attempts != 1 {
			t.Errorf("after the success: %+v", row)
		}
	})
}
