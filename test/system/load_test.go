package system_test

import (
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// parallel calls f with 0 to n-1, at most width at a time.
func parallel(n, width int, f func(i int)) {
	var (
		next atomic.Int64
		all  sync.WaitGroup
	)
	for range width {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				f(int(i))
			}
		})
	}
	all.Wait()
}

// A CONNECT that is sent at once when OPEN has come was lost now and then by the library's own transport, and the
// client hung until the connect timeout.
func TestNoConnectIsLost(t *testing.T) {
	s := launch(t, store.MySQL, nil)
	n := storetest.Size(30_000, 1_500)
	var lost, refused atomic.Int64
	parallel(n, 64, func(i int) {
		w, err := join(s.base, fmt.Sprintf("u%d", i%500), fmt.Sprintf("c%d", i%50))
		if err != nil {
			if lost.Add(1) < 5 {
				t.Log(err)
			}
			return
		}
		w.leave()
	})
	storetest.Show(t, "%d lost and %d refused of %d connects without a pause between OPEN and CONNECT", lost.Load(), refused.Load(), n)
	if lost.Load() > 0 {
		t.Errorf("%d of %d connects were lost", lost.Load(), n)
	}
	s.nobodyIsLeft(t)
}

// nobodyIsLeft waits until the database says that nobody is there any more.
func (s *server) nobodyIsLeft(t *testing.T) {
	t.Helper()
	db := s.pool()
	storetest.EventuallyWithin(t, 40*time.Second, func() bool {
		var open, there int
		if err := db.QueryRow("SELECT COUNT(*) FROM presence_sessions WHERE closed_at IS NULL").Scan(&open); err != nil {
			t.Fatal(err)
		}
		if err := db.QueryRow("SELECT COUNT(*) FROM presence WHERE state <> 'offline'").Scan(&there); err != nil {
			t.Fatal(err)
		}
		return open == 0 && there == 0
	}, "a session or a user is left although every client is gone")
	storetest.Eventually(t, func() bool { return s.metric("rollcall_sockets") == 0 }, "the node holds sockets although every client is gone")
}

// Clients that go away while they are being let in were left as ghosts by the library.
func TestNoGhosts(t *testing.T) {
	for _, kind := range []string{"polite", "rude"} {
		t.Run(kind, func(t *testing.T) {
			s := launch(t, store.MySQL, settings{"presence.grace": "1s"})
			n := storetest.Size(5_000, 500)
			var answered, cut atomic.Int64
			parallel(n, 64, func(i int) {
				user, conference := fmt.Sprintf("u%d", i%200), fmt.Sprintf("c%d", i%20)
				if i%2 == 0 { // at some point while the CONNECT is handled
					w, err := dial(s.base, url.Values{"userId": {user}, "conferenceId": {conference}})
					if err != nil {
						t.Error(err)
						return
					}
					cut.Add(1)
					if kind == "polite" {
						w.leave()
					} else {
						w.vanish()
					}
					return
				}
				w, err := join(s.base, user, conference)
				if err != nil {
					t.Error(err)
					return
				}
				answered.Add(1)
				if kind == "polite" {
					w.leave()
				} else {
					w.vanish()
				}
			})
			s.nobodyIsLeft(t)
			storetest.Show(t, "0 ghosts of %d %s quick disconnects (%d of them while the CONNECT was handled)", answered.Load()+cut.Load(), kind, cut.Load())
		})
	}
}

// A room that fills within two seconds is the usual beginning of a meeting. Naively it costs N^2 pushes.
func TestJoinStorm(t *testing.T) {
	s := launch(t, store.MySQL, settings{"build": "quick"})
	n := storetest.Size(1_000, 300)
	before := s.metric("rollcall_db_transactions_total")
	begin := time.Now()
	clients := make([]*wire, n)
	parallel(n, 100, func(i int) {
		w, err := join(s.base, fmt.Sprintf("user-%d", i), "big")
		if err != nil {
			t.Error(err)
			return
		}
		clients[i] = w
	})
	joined := time.Since(begin)
	if t.Failed() {
		return
	}
	transactions := s.metric("rollcall_db_transactions_total") - before
	for i, w := range clients {
		if !w.wait(30*time.Second, func() bool { return w.online == n }) {
			t.Fatalf("client %d sees %d of %d", i, w.online, n)
		}
	}
	settled := time.Since(begin)
	versions, most, notices := map[int64]int{}, 0, 0
	for _, w := range clients {
		w.mu.Lock()
		versions[w.version]++
		most = max(most, w.count["note_tree"])
		notices += w.count["online_notice"]
		if w.backwards > 0 {
			t.Errorf("a client saw %d versions that were not newer", w.backwards)
		}
		w.mu.Unlock()
	}
	for _, w := range clients { // not before all were looked at: who leaves changes the version
		w.leave()
	}
	// News of people wait for at least 100 ms, and longer where pushing costs more.
	const interval = 100 * time.Millisecond
	allowed := int(settled/interval) + 2
	storetest.Show(t, "%d clients joined in %v, settled after %v: %d version(s), at most %d tree frames per client (allowed %d at an interval of %v), %d online_notice per client on average, %.0f transactions for the joins",
		n, joined.Round(time.Millisecond), settled.Round(time.Millisecond), len(versions), most, allowed, interval, notices/n, transactions)
	if len(versions) != 1 {
		t.Errorf("clients ended at different versions: %v", versions)
	}
	if most > allowed {
		t.Errorf("a client got %d tree frames, allowed are %d", most, allowed)
	}
	if notices/n > 200 {
		t.Errorf("%d online notices per client: a storm", notices/n)
	}
	// Few arrive together where the race detector slows the clients down. Who arrives alone costs a dozen transactions (TestWorkIsConstant).
	if transactions > float64(storetest.Size(200, 2*n)) {
		t.Errorf("%.0f transactions for %d joins", transactions, n)
	}
}

// What connects and closes must leave nothing behind.
func TestNothingGrows(t *testing.T) {
	s := launch(t, store.MySQL, settings{"presence.grace": "1s", "debug.pprof": "false"})
	n := storetest.Size(20_000, 1_500)
	cycle := func(n int) {
		parallel(n, 64, func(i int) {
			w, err := join(s.base, fmt.Sprintf("u%d", i%300), fmt.Sprintf("c%d", i%30))
			if err != nil {
				t.Error(err)
				return
			}
			if i%2 == 0 {
				w.leave()
			} else {
				w.vanish()
			}
		})
		s.nobodyIsLeft(t)
	}
	cycle(500) // pools, caches and prepared things reach their size
	goroutines, descriptors := s.metric("rollcall_go_goroutines"), s.metric("rollcall_process_open_fds")
	heap := s.metric("rollcall_go_memstats_heap_inuse_bytes")
	cycle(n)
	var g, d, h float64
	storetest.EventuallyWithin(t, 90*time.Second, func() bool {
		g, d, h = s.metric("rollcall_go_goroutines"), s.metric("rollcall_process_open_fds"), s.metric("rollcall_go_memstats_heap_inuse_bytes")
		return g <= goroutines+20 && d <= descriptors+10 && h <= heap*1.3+8<<20
	}, "goroutines, descriptors or heap did not return")
	storetest.Show(t, "%d connect and close cycles: goroutines %.0f -> %.0f, descriptors %.0f -> %.0f, heap in use %.1f -> %.1f MiB", n, goroutines, g, descriptors, d, heap/(1<<20), h/(1<<20))
}
