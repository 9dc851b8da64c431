package chaos_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/internal/storetest"
)

// A node dies with all its sockets. Half of its people come back elsewhere and were never away; the others go, and are said to
// have gone by a node that survived.
func TestNodeKilled(t *testing.T) {
	beside(t)
	c := begin(t, nodesSection, "kill -9 of a node, half of its clients come back elsewhere")
	town := found(c, 2, nil)
	victim, survivor := town.nodes[0], town.nodes[1]
	n := storetest.Size(1000, 60)
	back := town.gathers("back", n/2, visit{to: town.preferring(victim), returns: true})
	lost := town.gathers("lost", n/2, visit{to: at(victim)})
	watchers := town.watchers(survivor)
	limit := town.paces.nodeTimeout + town.paces.grace + 3*time.Second

	w := town.watches()
	w.stay(back.and(watchers).keys())
	storetest.EventuallyWithin(t, 5*time.Second, func() bool { return town.sent("online_notice", lost.users()) >= len(lost) }, "the log does not say of everybody that he came")
	victim.kill() // not before: of somebody of whom nobody was told that he came, nobody is told that he went
	died := time.Now()
	w.gone(lost.keys(), died.Add(limit))
	town.settles(2 * limit)
	took := time.Since(died)
	storetest.EventuallyWithin(t, 5*time.Second, func() bool { return town.sent("offline_notice", lost.users()) >= len(lost) }, "the log does not say of everybody who went that he did")
	seen := w.end()

	c.within(n, "last row right", took, limit)
	c.none(len(back), len(seen.falseOffline), "came back and shown offline:")
	c.none(len(back), town.sent("offline_notice", back.users())+watchers.sawGo(back.users()), "offline notices about who came back:")
	c.says(len(lost), "told of everybody who went, once", fmt.Sprintf("%d in the log, %d by clients", town.sent("offline_notice", lost.users()), watchers.sawGo(lost.users())),
		town.sent("offline_notice", lost.users()) == len(lost) && watchers.sawGo(lost.users()) == len(lost))
	c.none(seen.looks+seen.reads, len(seen.ghosts), "ghosts in so many looks:")
}

// Every node dies. One that is started closes what it had open itself at once, and what the others had when they have been still
// for long enough.
func TestAllNodesKilled(t *testing.T) {
	beside(t)
	c := begin(t, nodesSection, "kill -9 of all nodes, one is started")
	town := found(c, 2, nil)
	first, other := town.nodes[0], town.nodes[1]
	n := storetest.Size(500, 40)
	back := town.gathers("back", n/2, visit{returns: true})
	lost := town.gathers("lost", n/2, visit{})
	first.kill()
	other.kill()
	old := town.count("SELECT COUNT(*) FROM presence_sessions WHERE closed_at IS NULL")
	town.eventually(10*time.Second, "the clients notice", func() bool { return back.and(lost).in() == 0 })
	first.start()
	begun := time.Now()
	own := town.count("SELECT COUNT(*) FROM presence_sessions s JOIN nodes n ON n.id = s.node_id WHERE s.node_id = ? AND s.epoch <> n.epoch AND s.closed_at IS NULL", first.id)
	limit := town.paces.nodeTimeout + town.paces.grace + 3*time.Second
	town.eventually(2*limit, "everybody who returns is in", func() bool { return back.in() == len(back) })
	town.settles(2 * limit)

	c.none(old, own, "rows of its own former run open when it serves:")
	c.within(n, "last row right after the start", time.Since(begun), limit)
	c.says(len(back), "all who return are online", fmt.Sprint(back.in()), back.in() == len(back))
}

// Two processes with one id would each write what the other must not. The second one watches the first, and gives up when that one
// lives; after kill -9 it takes its place.
func TestTwins(t *testing.T) {
	beside(t)
	c := begin(t, nodesSection, "two nodes with the same configured id")
	town := found(c, 1, nil)
	n := town.nodes[0]
	crowd := town.gathers("p", storetest.Size(100, 10), visit{returns: true})
	w := town.watches()
	w.stay(crowd.keys())

	begun := time.Now()
	second := n.run(settings{"http.addr": "127.0.0.1:0"})
	limit := town.paces.nodeTimeout + 3*time.Second
	select {
	case <-second.Done():
	case <-time.After(2 * limit):
		second.Kill()
	}
	refused := time.Since(begun)
	c.says(1, "the second one ends with an error that names the cause", fmt.Sprint(second.Err()), second.Err() != nil && strings.Contains(n.log.String(), "another running node has the same id"))
	c.within(1, "refused", refused, limit)
	wrong, evidence := w.end().wrong()
	c.says(len(crowd), "the first one is not disturbed: wrong rows 0, dropped 0", fmt.Sprintf("%d, %d%s", wrong, len(crowd)-crowd.in(), evidence), wrong == 0 && crowd.in() == len(crowd))

	n.kill()
	begun = time.Now()
	n.start()
	c.within(1, "after kill -9 a restart serves", time.Since(begun), limit)
	town.eventually(30*time.Second, "everybody is back", func() bool { return crowd.in() == len(crowd) })
}

// What connects and closes, with and without a closing handshake, leaves nothing behind.
func TestNothingLeaks(t *testing.T) {
	beside(t)
	c := begin(t, nodesSection, "connects and closes, half of them without a closing handshake")
	town := found(c, 2, func(p *paces) settings { p.grace = time.Second; return nil })
	churn := func(n int) {
		town.churns(n, func(i int) (string, string) { return fmt.Sprintf("u%d", i%300), fmt.Sprintf("c%d", i%30) })
		town.settles(30 * time.Second)
	}
	churn(storetest.Size(1000, 200)) // pools, caches and prepared things reach their size
	names := []string{"rollcall_go_goroutines", "rollcall_process_open_fds", "rollcall_go_memstats_heap_inuse_bytes"}
	before := map[string][]float64{}
	for _, name := range names {
		for _, n := range town.nodes {
			before[name] = append(before[name], n.metric(name))
		}
	}
	n := storetest.Size(20_000, 400)
	churn(n)
	more := func(name string) (leaked float64) {
		for i, n := range town.nodes {
			leaked = max(leaked, n.metric(name)-before[name][i])
		}
		return leaked
	}
	var g, d, h float64
	quiet := town.waitsFor(60*time.Second, func() bool {
		g, d, h = more(names[0]), more(names[1]), more(names[2])/(1<<20)
		return g <= 20 && d <= 10 && h <= 16 // what pools of connections and the garbage collector breathe
	})
	c.says(n, "leaked 0: goroutines (20 breathe), descriptors (10), heap (16 MiB)", fmt.Sprintf("%+.0f, %+.0f, %+.1f MiB", g, d, h), quiet)
}
