package chaos_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"rollcall/internal/clienttest"
	"rollcall/internal/servertest"
	"rollcall/internal/storetest"
)

// rowsTimeout is how long a node waits for the database: as by default, and shorter in the short form, where nothing is away for long.
func rowsTimeout() time.Duration { return time.Duration(storetest.Size(5, 1)) * time.Second }

func shortRowsTimeout(*paces) settings { return settings{"database.timeout": rowsTimeout().String()} }

// awayFor is how long the database is away: longer than a node timeout.
func awayFor() time.Duration { return time.Duration(storetest.Size(30, 6)) * time.Second }

// The database is away from all nodes.
func TestDatabaseAway(t *testing.T) {
	for _, f := range []fault{refused(toRows), blackHoled(toRows)} {
		t.Run(f.name, func(t *testing.T) {
			beside(t)
			databaseAway(t, f)
		})
	}
}

func databaseAway(t *testing.T, f fault) {
	c := begin(t, storesSection, "database "+f.name)
	town := found(c, 2, shortRowsTimeout)
	people := town.gathers("stays", storetest.Size(500, 30), visit{})
	all := people.and(town.watchers(town.nodes[0]), town.watchers(town.nodes[1]))
	goes := town.gathers("goes", 10, visit{})
	for i := range rooms {
		if _, err := town.nodes[0].patches(fmt.Sprintf("room-%d", i), map[string]any{"topicInfo": map[string]any{"before": true}}); err != nil {
			t.Fatal(err)
		}
	}
	town.settles(10 * time.Second)
	w := town.watches()
	w.stay(all.keys())

	undo := f.does(town)
	o := &outage{town: town, begun: time.Now(), done: map[string]bool{}, other: map[string]int{}}
	for _, p := range goes {
		p.leave()
	}
	var newcomers sync.WaitGroup
	for i := range 10 {
		newcomers.Go(func() {
			p, err := town.enters(visit{user: fmt.Sprintf("comes-%d", i), conference: fmt.Sprintf("room-%d", i), returns: true})
			if err != nil {
				town.t.Errorf("who came while the database was away: %v", err)
				return
			}
			w.stay([]key{p.key()})
		})
	}
	o.runs(awayFor())
	undo()
	back := time.Now()
	town.converges(all)
	converged := time.Since(back)
	newcomers.Wait()
	stranded := time.Since(back)
	o.all.Wait()
	town.settles(20 * time.Second)
	wrong, evidence := w.end().wrong()

	c.stayed(all)
	c.within(len(all), "converged after its return", converged, 5*time.Second)
	c.within(10, "who knocked meanwhile is in (stock clients pause up to 7.5s)", stranded, 12500*time.Millisecond)
	c.none(len(town.nodes), town.deaths(), "nodes called dead:")
	o.says(c)
	c.says(len(all), "shown offline or online wrongly 0", fmt.Sprintf("%d%s", wrong, evidence), wrong == 0)
}

// converges waits until what is said is true everywhere and a change at one node reaches the clients of all.
func (town *town) converges(people crowd) {
	town.t.Helper()
	town.settles(60 * time.Second)
	version := int64(0)
	town.eventually(60*time.Second, "a tree can be written", func() (ok bool) {
		var err error
		version, err = town.nodes[0].patches("room-0", map[string]any{"topicInfo": map[string]any{"after": true}})
		return err == nil
	})
	for _, p := range people {
		if p.conference == "room-0" && !p.has(version, 60*time.Second) {
			town.t.Errorf("%s does not get the tree", p.user)
		}
	}
}

// outage is what is asked of nodes while the database is away.
type outage struct {
	town  *town
	begun time.Time
	all   sync.WaitGroup

	mu                   sync.Mutex // guards the rest
	knocks, let, later   int        // handshakes since nodes must have noticed: all of them, let in, not answered with 503
	writes, reads        int
	done                 map[string]bool // what was written, by number, and whether the answer said so
	other                map[string]int  // answers to writes that are neither
	unread               map[string]int  // answers to reads that are not good
	slowestRead, slowest time.Duration   // of what was asked since nodes must have noticed, and of all writes
	firstReads           time.Duration   // the slowest before that
}

// runs asks all the time, of all nodes in turn.
func (o *outage) runs(lasts time.Duration) {
	noticed := o.noticed()
	end := o.begun.Add(lasts)
	for i := 0; time.Now().Before(end); i++ {
		n := o.town.nodes[i%len(o.town.nodes)]
		o.all.Go(func() { o.read(n, i) })
		o.all.Go(func() { o.write(n, i) })
		if now := time.Now(); now.After(noticed) && now.Before(end.Add(-time.Second)) {
			o.all.Go(func() { o.knock(n, i) })
		}
		o.town.waits(100 * time.Millisecond)
	}
}

// noticed is when nodes must have noticed: they ask every 500 ms.
func (o *outage) noticed() time.Time { return o.begun.Add(rowsTimeout() + 1500*time.Millisecond) }

func (o *outage) knock(n *node, i int) {
	link, err := clienttest.DialWire(n.base, url.Values{"userId": {fmt.Sprintf("knocks-%d", i)}})
	if err == nil {
		link.Vanish()
	}
	status, _ := errors.AsType[*clienttest.StatusError](err)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.knocks++
	switch {
	case err == nil:
		o.let++
	case status == nil || status.Status != http.StatusServiceUnavailable || !waitsFor(status.Header):
		o.later++
	}
}

// waitsFor reports whether an answer says when to come back.
func waitsFor(h http.Header) bool {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	return err == nil && seconds > 0
}

func (o *outage) read(n *node, i int) {
	begun := time.Now()
	status := n.status(fmt.Sprintf("/api/v1/conferences/room-%d/tree", i%rooms))
	o.mu.Lock()
	defer o.mu.Unlock()
	o.reads++
	if begun.Before(o.noticed()) {
		o.firstReads = max(o.firstReads, time.Since(begun))
	} else {
		o.slowestRead = max(o.slowestRead, time.Since(begun))
	}
	if status != http.StatusOK {
		if o.unread == nil {
			o.unread = map[string]int{}
		}
		o.unread[strconv.Itoa(status)]++
	}
}

// write writes one thing of three kinds, whose traces say how much of it was done.
func (o *outage) write(n *node, i int) {
	var method, path string
	var body any
	switch i % 3 {
	case 0:
		method, path, body = "PATCH", fmt.Sprintf("/conferences/room-%d/tree", i%rooms), map[string]any{"topicInfo": map[string]any{fmt.Sprintf("w%d", i): true}}
	case 1:
		method, path, body = "POST", "/notices", map[string]any{"to": map[string]any{"users": []string{"a", "b"}}, "label": fmt.Sprintf("w%d", i)}
	case 2:
		method, path, body = "PUT", fmt.Sprintf("/conferences/w%d/members", i), map[string]any{"members": []map[string]any{{"userId": "a"}, {"userId": "b"}}}
	}
	ctx, cancel := context.WithTimeout(o.town.ctx, callersPatience)
	defer cancel()
	begun := time.Now()
	a, err := servertest.Call(ctx, method, n.base+"/api/v1"+path, body)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writes++
	o.slowest = max(o.slowest, time.Since(begun))
	switch {
	case err != nil:
		o.other[err.Error()]++
	case a.Status < 300:
		o.done[strconv.Itoa(i)] = true
	case a.Status == http.StatusServiceUnavailable && waitsFor(a.Header):
		o.done[strconv.Itoa(i)] = false
	default:
		o.other[fmt.Sprintf("%s %s: %d %.100s", method, path, a.Status, a.Body)]++
	}
}

// undone counts writes that are done although the answer says that they are not, or the other way round, or done by half.
func (o *outage) undone() (n int, evidence string) {
	for number, said := range o.done {
		i, _ := strconv.Atoi(number)
		var found, whole int
		switch i % 3 {
		case 0:
			var tree struct{ TopicInfo map[string]json.RawMessage }
			if err := o.town.nodes[0].get(o.town.ctx, fmt.Sprintf("/api/v1/conferences/room-%d/tree", i%rooms), &tree); err != nil {
				o.town.t.Fatal(err)
			}
			if whole = 1; tree.TopicInfo["w"+number] != nil {
				found = 1
			}
		case 1:
			found, whole = o.town.count("SELECT COUNT(*) FROM notices n LEFT JOIN notice_deliveries d ON d.notice_id = n.id WHERE n.label = ?", "w"+number), 2
		case 2:
			found, whole = o.town.count("SELECT COUNT(*) FROM conference_members WHERE conference_id = ?", "w"+number), 2
		}
		if said && found != whole || !said && found != 0 {
			if n++; n <= 3 {
				evidence += fmt.Sprintf(" %d of %d although it was said %v;", found, whole, said)
			}
		}
	}
	return n, evidence
}

func (o *outage) says(c *trial) {
	c.t.Helper()
	c.says(o.knocks, "handshakes not answered with 503 and Retry-After 0", fmt.Sprintf("%d let in, %d answered otherwise", o.let, o.later), o.knocks > 0 && o.let+o.later == 0)
	c.says(o.writes, "writes not answered with 503 and Retry-After 0", fmt.Sprintf("%v, slowest answer %v", o.other, o.slowest.Round(10*time.Millisecond)), len(o.other) == 0 && o.writes > 0)
	n, evidence := o.undone()
	c.says(len(o.done), "writes that are done by half, or not as was said 0", fmt.Sprintf("%d%s", n, evidence), n == 0)
	c.says(o.reads, "trees read from memory: all, within 1s once nodes have noticed", fmt.Sprintf("%v failed, slowest %v, before %v", o.unread, o.slowestRead.Round(10*time.Millisecond), o.firstReads.Round(10*time.Millisecond)),
		len(o.unread) == 0 && o.slowestRead <= time.Duration(storetest.Size(1, 3))*time.Second && o.firstReads <= rowsTimeout()+time.Duration(storetest.Size(1, 3))*time.Second)
}

// The database is away from one node only. That one cannot say that it lives, so the others call it dead.
func TestDatabaseAwayFromOne(t *testing.T) {
	for _, how := range []struct {
		name string
		does func(*link)
	}{{"refused", (*link).refuse}, {"black-holed", (*link).swallow}} {
		t.Run(how.name, func(t *testing.T) {
			beside(t)
			awayFromOne(begin(t, storesSection, "database "+how.name+" from one node only"), how.does)
		})
	}
}

func awayFromOne(c *trial, breaks func(*link)) {
	town := found(c, 2, shortRowsTimeout)
	lonely, other := town.nodes[0], town.nodes[1]
	n := storetest.Size(250, 20)
	theirs := town.gathers("theirs", n, visit{to: town.preferring(lonely), returns: true})
	watchers := town.watchers(other)
	town.settles(10 * time.Second)
	old, _ := lonely.epoch()
	w := town.watches()
	w.stay(watchers.keys())
	breaks(lonely.rows)
	buried := town.eventually(3*town.paces.nodeTimeout, "the other one buries it", func() bool { _, state := lonely.epoch(); return state == "dead" })
	town.eventually(10*time.Second, "its sessions are closed", func() bool {
		return town.count("SELECT COUNT(*) FROM presence_sessions WHERE node_id = ? AND epoch = ? AND closed_at IS NULL", lonely.id, old) == 0
	})
	rows := "SELECT CONCAT_WS('|', id, user_id, opened_at, closed_at, reason) FROM presence_sessions WHERE node_id = ? AND epoch = ? ORDER BY id"
	before := town.column(rows, lonely.id, old)
	town.pause(awayFor() - buried)
	lonely.rows.mend()
	begun := time.Now()
	anew := town.eventually(20*time.Second, "it registers anew", func() bool { epoch, state := lonely.epoch(); return epoch > old && state == "up" })
	town.eventually(20*time.Second, "its clients come back", func() bool { return theirs.in() == n && theirs.stays() >= 2*n })
	took := time.Since(begun)
	town.settles(20 * time.Second)
	wrong, evidence := w.end().wrong()

	c.within(1, "called dead", buried, town.paces.nodeTimeout+2*time.Second)
	c.within(1, "registered anew after its return", anew, 5*time.Second)
	c.says(n, "its clients are back (stock clients pause up to 7.5s)", fmt.Sprintf("%d after %v", theirs.in(), took.Round(10*time.Millisecond)), theirs.in() == n && took <= 12500*time.Millisecond)
	changed := differ(before, town.column(rows, lonely.id, old))
	c.none(len(before), changed, "rows of the old epoch changed afterwards:")
	c.stayed(watchers)
	c.says(len(watchers), "people of the other node shown offline 0", fmt.Sprintf("%d%s", wrong, evidence), wrong == 0)
	c.says(2, "called dead once, by the other one, and expelled once", fmt.Sprintf("%d in all", town.deaths()), town.deaths() == 2 && other.metric("rollcall_presence_nodes_claimed_total") == 1)
}
