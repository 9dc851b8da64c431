package chaos_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"rollcall/internal/storetest"
)

// A node that is stopped for longer than the node timeout is buried by the others. When it goes on it still holds sockets,
// has heard the end of some, and believes in its sessions: none of that may reach a row.
func TestNodeFrozen(t *testing.T) {
	beside(t)
	c := begin(t, nodesSection, "a node is stopped (SIGSTOP) and continued")
	town := found(c, 2, nil)
	sleeper, survivor := town.nodes[0], town.nodes[1]
	n := storetest.Size(500, 40)
	moved := town.gathers("moved", n/2, visit{to: town.preferring(sleeper), returns: true})
	stuck := town.gathers("stuck", n/2, visit{to: at(sleeper), returns: true}) // where they knock in vain, once they have noticed
	watchers := town.watchers(survivor)
	asleep := time.Duration(storetest.Size(40, 8)) * time.Second
	old, _ := sleeper.epoch()
	timeout, grace := town.paces.nodeTimeout, town.paces.grace

	w := town.watches()
	w.stay(moved.and(watchers).keys())
	sleeper.freeze()
	frozen := time.Now()
	w.gone(stuck.keys(), frozen.Add(timeout+grace+5*time.Second))
	for _, p := range moved {
		p.drop() // and the node hears of it only when it goes on
	}
	buried := town.eventually(3*timeout, "the survivor buries the node", func() bool { _, state := sleeper.epoch(); return state == "dead" })
	open := "SELECT COUNT(*) FROM presence_sessions WHERE node_id = ? AND epoch = ? AND closed_at IS NULL"
	town.eventually(3*timeout, "its sessions are closed", func() bool { return town.count(open, sleeper.id, old) == 0 })
	rows := "SELECT CONCAT_WS('|', id, user_id, opened_at, closed_at, reason) FROM presence_sessions WHERE node_id = ? AND epoch = ? ORDER BY id"
	before := town.column(rows, sleeper.id, old)
	town.pause(time.Until(frozen.Add(asleep)))
	w.forget(stuck.keys())

	sleeper.thaw()
	thawed := time.Now()
	town.eventually(10*time.Second, "it registers anew", func() bool { epoch, state := sleeper.epoch(); return epoch > old && state == "up" })
	anew := time.Since(thawed)
	town.eventually(30*time.Second, "its clients come back", func() bool { return stuck.stays() >= 2*len(stuck) && stuck.in() == len(stuck) })
	town.settles(30 * time.Second)
	seen := w.end()

	c.within(1, "buried", buried, timeout+2*time.Second)
	c.says(len(before), "rows of the old epoch changed afterwards 0", fmt.Sprint(differ(before, town.column(rows, sleeper.id, old))), differ(before, town.column(rows, sleeper.id, old)) == 0)
	wrong, evidence := seen.wrong()
	c.says(n, "shown offline or online wrongly 0", fmt.Sprintf("%d%s", wrong, evidence), wrong == 0)
	c.none(len(moved), town.sent("offline_notice", moved.users())+watchers.sawGo(moved.users()), "offline notices about who had come back elsewhere:")
	c.says(1, "it registers anew and its clients come back", fmt.Sprintf("registered after %v, %d of %d back", anew.Round(10*time.Millisecond), stuck.in(), len(stuck)), true)
}

// stays sums up how often people of a crowd were let in.
func (c crowd) stays() int {
	n := 0
	for _, p := range c {
		p.mu.Lock()
		n += p.stays
		p.mu.Unlock()
	}
	return n
}

// differ counts lines that are in one list and not in the other.
func differ(a, b []string) int {
	in, n := map[string]bool{}, 0
	for _, s := range a {
		in[s] = true
	}
	for _, s := range b {
		if !in[s] {
			n++
		}
		delete(in, s)
	}
	return n + len(in)
}

// A planned stop: nobody is sent there any more, clients are told and return elsewhere within their grace.
func TestNodeDrained(t *testing.T) {
	beside(t)
	c := begin(t, nodesSection, "SIGTERM with clients on the node")
	town := found(c, 2, nil)
	leaving, other := town.nodes[0], town.nodes[1]
	people := town.gathers("p", storetest.Size(1000, 60), visit{to: town.preferring(leaving), returns: true})
	watchers := town.watchers(other)
	w := town.watches()
	w.stay(people.and(watchers).keys())
	leaving.signal(syscall.SIGTERM)
	begun := time.Now()
	unready := town.eventually(5*time.Second, "ready says 503", func() bool { return leaving.status("/readyz") == 503 })
	leaving.answers.Store(false)
	select {
	case <-leaving.process.Done():
	case <-time.After(60 * time.Second):
		t.Fatal("the node does not end")
	}
	took, exit := time.Since(begun), leaving.process.Err()
	town.eventually(20*time.Second, "everybody is back", func() bool { return people.in() == len(people) })
	town.settles(20 * time.Second)
	town.pause(town.paces.grace + time.Second) // so that somebody who is to be shown offline is
	seen := w.end()

	c.within(1, "ready says 503", unready, time.Second)
	c.says(len(people), "clients told", fmt.Sprint(people.saw("server_draining")), people.saw("server_draining") == len(people))
	c.within(len(people), "ended", took, 15*time.Second)
	c.says(1, "exit 0", fmt.Sprint(exit), exit == nil)
	c.none(len(people), len(seen.falseOffline), "shown offline:")
	c.none(len(people), town.sent("offline_notice", people.users())+watchers.sawGo(people.users()), "offline notices:")
}

// Whoever sends the signal twice means it.
func TestSecondSignal(t *testing.T) {
	beside(t)
	c := begin(t, nodesSection, "SIGTERM twice")
	town := found(c, 1, func(p *paces) settings { p.drain = 20 * time.Second; return nil })
	n := town.nodes[0]
	people := town.gathers("p", storetest.Size(1000, 30), visit{})
	n.signal(syscall.SIGTERM)
	town.eventually(5*time.Second, "it drains", func() bool { return n.status("/readyz") == 503 })
	n.answers.Store(false)
	n.signal(syscall.SIGTERM)
	begun := time.Now()
	select {
	case <-n.process.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("the node does not end")
	}
	c.within(len(people), "ended", time.Since(begun), time.Second)
	town.people.scatter()
	n.start() // and closes what it left open
	town.settles(town.paces.grace + 20*time.Second)
}
