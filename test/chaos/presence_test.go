package chaos_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/clienttest"
	"rollcall/internal/storetest"
)

// stands returns what the presence rows say of users whose ids begin alike, with the times of their last changes: had one of
// them been said to be anything else for a moment, the times would be others.
func (town *town) stands(prefix string) []string {
	return town.column("SELECT CONCAT_WS('|', conference_id, user_id, state, since, arrived_at) FROM presence WHERE user_id LIKE ? ORDER BY conference_id, user_id", prefix+"-%")
}

// Tabs come and go beside one that stays, and so does somebody else from the same address.
func TestTwoTabs(t *testing.T) {
	beside(t)
	c := begin(t, presenceSection, "two tabs, one closes; two users behind one address")
	town := found(c, 2, nil)
	people := town.gathers("stays", 20, visit{returns: true})
	watchers := town.watchers(town.nodes[0])
	town.settles(10 * time.Second)
	before := town.stands("stays")
	w := town.watches()
	w.stay(people.and(watchers).keys())
	n := storetest.Size(1000, 160)
	town.churns(n, func(i int) (user, conference string) {
		p := people[i/2%len(people)]
		if i%2 == 0 {
			return p.user, p.conference
		}
		return "neighbour-of-" + p.user, p.conference
	})
	town.settles(town.paces.grace + 10*time.Second)
	wrong, evidence := w.end().wrong()
	changed := differ(before, town.stands("stays"))
	c.says(n, "who stayed was touched 0", fmt.Sprintf("%d rows changed, %d seen wrong%s", changed, wrong, evidence), changed+wrong == 0)
	c.none(n, town.sent("offline_notice", people.users())+watchers.and(people).sawGo(people.users()), "offline notices about who stayed:")
}

// A page that is loaded again opens its new socket, on whichever node, before the old one ends.
func TestPageReload(t *testing.T) {
	beside(t)
	c := begin(t, presenceSection, "old session closes after the new one opened, on another node")
	town := found(c, 2, nil)
	users, n := 40, storetest.Size(1000, 160)
	watchers := town.watchers(town.nodes[0])
	now := town.gathers("reloads", users, visit{to: at(town.nodes[0])})
	town.settles(10 * time.Second)
	before := town.stands("reloads")
	w := town.watches()
	w.stay(now.and(watchers).keys())
	var failed atomic.Int64
	for round := 1; round <= n/users; round++ {
		target := at(town.nodes[round%2])
		parallel(users, 20, func(i int) {
			next, err := town.enters(visit{user: now[i].user, conference: now[i].conference, to: target})
			if err != nil {
				failed.Add(1)
				return
			}
			if round%4 < 2 {
				now[i].leave()
			} else {
				now[i].vanish()
			}
			now[i] = next
		})
	}
	town.settles(town.paces.grace + 10*time.Second)
	wrong, evidence := w.end().wrong()
	changed := differ(before, town.stands("reloads"))
	c.none(n, int(failed.Load()), "not let in:")
	c.says(n, "shown as anything but online 0", fmt.Sprintf("%d rows changed, %d seen wrong%s", changed, wrong, evidence), changed+wrong == 0)
	c.none(n, town.sent("offline_notice", now.users())+watchers.sawGo(now.users()), "told to the room:")
	c.none(n, town.sent("online_notice", now.users())-users, "online notices beyond the first of each user:")
}

// The same user comes to two nodes at the same instant.
func TestJoinTwice(t *testing.T) {
	beside(t)
	c := begin(t, presenceSection, "the same user joins on two nodes at the same instant")
	town := found(c, 2, nil)
	n := storetest.Size(1000, 100)
	var failed atomic.Int64
	parallel(n, 16, func(i int) {
		ready, both := make(chan struct{}), sync.WaitGroup{}
		for side := range 2 {
			both.Go(func() {
				<-ready
				_, err := town.enters(visit{user: fmt.Sprintf("twin-%d", i), conference: fmt.Sprintf("room-%d", i%rooms), to: at(town.nodes[side])})
				if err != nil {
					failed.Add(1)
				}
			})
		}
		close(ready)
		both.Wait()
	})
	town.settles(20 * time.Second)
	town.pause(town.paces.debounce + time.Second) // a second notice that was held back would come then
	c.none(2*n, int(failed.Load()), "not let in:")
	c.none(n, n-town.count("SELECT COUNT(*) FROM (SELECT user_id FROM presence WHERE user_id LIKE 'twin-%' AND state = 'online' GROUP BY user_id HAVING COUNT(*) = 1) x"), "users without exactly one row:")
	c.none(n, n-town.count("SELECT COUNT(*) FROM (SELECT user_id FROM presence_sessions WHERE user_id LIKE 'twin-%' AND closed_at IS NULL GROUP BY user_id HAVING COUNT(*) = 2 AND COUNT(DISTINCT node_id) = 2) x"), "users without exactly two sessions, one on each node:")
	c.none(n, n-town.count("SELECT COUNT(*) FROM (SELECT sender_id FROM notices WHERE event = 'online_notice' AND state = 'sent' AND sender_id LIKE 'twin-%' GROUP BY sender_id HAVING COUNT(*) = 1) x"), "users without exactly one online notice:")
}

// A client that is gone without a word, not even of TCP: its line swallows everything. Nothing but the heartbeat tells.
func TestVanishesWithoutFIN(t *testing.T) {
	beside(t)
	c := begin(t, presenceSection, "client vanishes without FIN")
	town := found(c, 1, func(p *paces) settings {
		if !storetest.Proving() {
			p.pingInterval, p.pingTimeout, p.grace = 2*time.Second, 3*time.Second, time.Second
		}
		return nil
	})
	n := storetest.Size(100, 20)
	line := newLink(t, "clients", hostOf(town.nodes[0].base))
	base := "http://" + line.addr()
	for i := range n {
		p, err := passes(base, fmt.Sprintf("u%d", i), "42")
		if err != nil {
			t.Fatal(err)
		}
		town.hands.Go(func() { // it answers pings and never gives up, so that the end is the node's to find
			defer p.Vanish()
			for town.ctx.Err() == nil {
				if _, err := p.Next(5 * time.Minute); err != nil {
					return
				}
			}
		})
	}
	here := func() int {
		return town.count("SELECT COUNT(*) FROM presence WHERE state <> 'offline'")
	}
	town.eventually(10*time.Second, "all are online", func() bool { return here() == n })
	line.swallow()
	limit := town.paces.pingInterval + town.paces.pingTimeout + town.paces.grace + 2*time.Second
	took := town.eventually(2*limit, "all are offline", func() bool { return here() == 0 })
	c.within(n, "the last one is offline", took, limit)
}

// The peer goes at every moment of being let in: as soon as the connection stands, after OPEN, while its CONNECT is handled, and
// with a goodbye that is said twice.
func TestGoneWhileConnecting(t *testing.T) {
	beside(t)
	c := begin(t, presenceSection, "the peer closes while its connect is being handled")
	town := found(c, 2, func(p *paces) settings { p.grace = time.Second; return nil })
	n := storetest.Size(5000, 400)
	var failed, told atomic.Int64
	parallel(n, 32, func(i int) {
		q := [][2]string{{"userId", fmt.Sprintf("u%d", i%200)}, {"conferenceId", fmt.Sprintf("c%d", i%20)}}
		err := town.aborts(town.addresses()[0], i, q)
		for tries := 0; crowded(err) && tries < 100; tries++ { // as stock clients do, who come later
			told.Add(1)
			town.waits(300 * time.Millisecond)
			err = town.aborts(town.addresses()[0], i, q)
		}
		if err != nil {
			failed.Add(1)
		}
	})
	over := time.Now()
	c.progress("told to come later: %d times", told.Load())
	w := town.watches()
	for i := range n {
		w.gone([]key{{fmt.Sprintf("c%d", i%20), fmt.Sprintf("u%d", i%200)}}, over.Add(town.paces.grace+3*time.Second))
	}
	town.pause(2 * time.Second) // whatever still is on its way comes in now
	town.settles(town.paces.grace + 30*time.Second)
	took := time.Since(over)
	town.pause(town.paces.grace + 2*time.Second)
	wrong, evidence := w.end().wrong()
	left := wrong + town.count("SELECT COUNT(*) FROM presence_sessions WHERE closed_at IS NULL") + town.count("SELECT COUNT(*) FROM presence WHERE state <> 'offline'")
	for _, node := range town.nodes {
		left += int(node.metric("rollcall_sockets"))
	}
	c.none(n, int(failed.Load()), "handshakes that failed:")
	c.says(n, "ghosts 0", fmt.Sprintf("%d, all quiet %v after the last one%s", left, took.Round(10*time.Millisecond), evidence), left == 0)
}

// crowded reports whether a handshake was refused for now.
func crowded(err error) bool {
	refused, ok := errors.AsType[*clienttest.StatusError](err)
	return ok && refused.Status == http.StatusServiceUnavailable
}

// aborts connects and goes, in one of several ways.
func (town *town) aborts(base string, way int, query [][2]string) error {
	if way%5 == 0 {
		return halfHandshake(base, query)
	}
	link, err := clienttest.DialWire(base, values(query))
	if err != nil {
		return err
	}
	switch way % 5 {
	case 1:
		link.Vanish()
	case 2:
		link.Leave()
	case 3:
		town.waits(time.Duration(rand.IntN(5_000)) * time.Microsecond)
		link.Vanish()
	case 4:
		link.Send("41")
		link.Send("41")
		link.Leave()
	}
	return nil
}
