package chaos_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/storetest"
)

// ledger is what was accepted for whom, and what of it came.
type ledger struct {
	mu       sync.Mutex // guards the rest
	accepted map[string]string
	seen     map[string]bool
}

// hears notes the ids of notices, however they come.
func (l *ledger) hears(p *person, event string, args []json.RawMessage) {
	type item struct{ ID string }
	var got struct {
		item
		Items []item
	}
	if (event != "notice" && event != "push_message") || len(args) == 0 || json.Unmarshal(args[0], &got) != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, i := range append(got.Items, got.item) {
		if l.accepted[i.ID] == p.user || l.accepted[i.ID] == "" { // the answer of the POST may come after the notice
			l.seen[i.ID] = true
		}
	}
}

// unseen counts what was accepted and came to nobody.
func (l *ledger) unseen() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for id := range l.accepted {
		if !l.seen[id] {
			n++
		}
	}
	return n
}

// load is what goes on in a town meanwhile: notices, patches of trees, chat.
type load struct {
	*ledger
	town                    *town
	people                  crowd
	calls, patches, refused atomic.Int64
	slowest                 time.Duration // of all calls; belongs to goesOn until that has ended
}

// goesOn makes load until stop is closed.
func (l *load) goesOn(stop <-chan struct{}) {
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		nodes := l.town.living()
		n, p := nodes[rand.IntN(len(nodes))], l.people[rand.IntN(len(l.people))]
		var err error
		begun := time.Now()
		l.calls.Add(1)
		switch i % 4 {
		case 0:
			err = n.call(l.town.ctx, "PATCH", "/api/v1/conferences/"+p.conference+"/tree", map[string]any{"topicInfo": map[string]any{"n": i}}, nil)
			l.patches.Add(1)
		case 1:
			_ = p.say("chat message", fmt.Sprintf("line %d", i)) // who is on the way is silent
		default:
			var told struct{ ID string }
			if err = n.call(l.town.ctx, "POST", "/api/v1/notices", map[string]any{"to": map[string]any{"users": []string{p.user}}, "title": "n", "body": fmt.Sprint(i)}, &told); err == nil {
				l.mu.Lock()
				l.accepted[told.ID] = p.user
				l.mu.Unlock()
			}
		}
		l.slowest = max(l.slowest, time.Since(begun))
		if err != nil {
			l.refused.Add(1) // by a node on its way down: a caller tries the next one
		}
	}
}

// lost counts what was accepted and is in no inbox.
func (l *load) lost() int {
	l.town.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	have := map[string]bool{}
	for _, s := range l.town.column("SELECT CONCAT(notice_id, '|', user_id) FROM notice_deliveries") {
		have[s] = true
	}
	n := 0
	for id, user := range l.accepted {
		if !have[id+"|"+user] {
			n++
		}
	}
	return n
}

// stale counts people whose newest tree is not that of their conference.
func (l *load) stale() int {
	n := 0
	versions := map[string]int64{}
	for _, p := range l.people {
		if _, ok := versions[p.conference]; !ok {
			var tree struct{ Version int64 }
			if err := l.town.living()[0].get(l.town.ctx, "/api/v1/conferences/"+p.conference+"/tree", &tree); err != nil {
				return len(l.people)
			}
			versions[p.conference] = tree.Version
		}
		p.mu.Lock()
		if p.version != versions[p.conference] {
			n++
		}
		p.mu.Unlock()
	}
	return n
}

// Every node is replaced, one after another, while people meet: nobody notices but by coming back.
func TestRollingRestart(t *testing.T) {
	beside(t)
	c := begin(t, nodesSection, "rolling restart of 3 nodes under load")
	town := found(c, 3, func(p *paces) settings {
		p.grace = max(p.grace, 5*time.Second) // who knocks at a node in the moment of its end pauses twice
		return nil
	})
	l := &load{ledger: &ledger{accepted: map[string]string{}, seen: map[string]bool{}}, town: town}
	l.people = town.gathers("p", storetest.Size(600, 45), visit{returns: true, hear: l.hears})
	town.settles(20 * time.Second)
	w := town.watches()
	w.stay(l.people.keys())
	stop, done := make(chan struct{}), make(chan struct{})
	town.hands.Go(func() { defer close(done); l.goesOn(stop) })
	var slowest time.Duration
	for _, n := range town.nodes {
		slowest = max(slowest, n.stop())
		n.start()
		town.eventually(10*time.Second, "it is ready", func() bool { return n.status("/readyz") == 200 })
		town.eventually(30*time.Second, "everybody is back", func() bool { return l.people.in() == len(l.people) })
	}
	close(stop)
	<-done
	town.settles(30 * time.Second)
	fresh := town.waitsFor(10*time.Second, func() bool { return l.stale() == 0 })
	came := town.waitsFor(10*time.Second, func() bool { return l.unseen() == 0 })
	town.pause(town.paces.grace + time.Second)
	seen := w.end()
	wrong, evidence := seen.wrong()
	users := l.people.users()

	c.says(len(users), "shown offline 0", fmt.Sprintf("%d%s", wrong, evidence), wrong == 0)
	c.none(len(users), town.sent("offline_notice", users)+l.people.sawGo(users), "offline notices:")
	c.none(len(l.accepted), l.lost(), "accepted notices that are stored for nobody:")
	c.says(len(l.accepted), "accepted notices that no client of theirs saw 0", fmt.Sprint(l.unseen()), came)
	c.says(int(l.patches.Load()), "clients with an old tree 10 s later 0", fmt.Sprint(l.stale()), fresh)
	c.progress("%d of %d REST calls failed, the slowest took %v", l.refused.Load(), l.calls.Load(), l.slowest.Round(time.Millisecond))
	c.within(len(town.nodes), "each node ended", slowest, 15*time.Second)
}
