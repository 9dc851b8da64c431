package chaos_test

import (
	"fmt"
	"testing"
	"time"

	"rollcall/internal/storetest"
)

// homecoming is what it took until a crowd that lost its connections was back.
type homecoming struct {
	took       time.Duration
	statements float64 // of the database, for each who came back
	commits    float64 // transactions, likewise
	frames     int     // most trees that one client got
	refused    int     // times that somebody was told to come later
}

// Everybody's connection breaks within two seconds. All come back by themselves, some of them later because they are told so, and
// each costs the database no more than in a small crowd. It runs alone: the server of the database counts statements of all.
func TestReconnectStorm(t *testing.T) {
	c := begin(t, networkSection, "clients start to reconnect within 2 s")
	interval := time.Second
	town := found(c, 2, func(*paces) settings {
		return settings{"conference.push_min_interval": interval.String()}
	})
	n := storetest.Size(5000, 150)
	people := town.gathers("p", n, visit{returns: true})
	town.settles(60 * time.Second)
	c.progress("%d came", n)
	town.pause(2 * interval)
	idle := town.statements()
	begun := time.Now()
	town.pause(3 * time.Second)
	rate := (town.statements() - idle) / time.Since(begun).Seconds()

	small := town.breaks(people[:n/10], rate)
	large := town.breaks(people, rate)
	c.says(n, "all online", fmt.Sprintf("%d after %v (told to come later: %d times)", people.in(), large.took.Round(100*time.Millisecond), large.refused), people.in() == n)
	c.says(n, fmt.Sprintf("statements of the database for each no more than in a crowd of %d (a fifth more)", n/10), fmt.Sprintf("%.1f (transactions %.2f), small crowd %.1f (%.2f)", large.statements, large.commits, small.statements, small.commits), large.statements <= small.statements*1.2+0.5)
	allowed := int(large.took/interval) + 2
	c.says(n, fmt.Sprintf("trees for each client at most %v / %v + 2 = %d", large.took.Round(100*time.Millisecond), interval, allowed), fmt.Sprint(large.frames), large.frames <= allowed)
	c.none(n, people.backward(), "clients that saw a tree older than one before:")
}

// breaks takes the connections of people away, spread over two seconds, and waits until all are back. idle is how many statements a
// second there are anyway.
func (town *town) breaks(people crowd, idle float64) (h homecoming) {
	town.t.Helper()
	trees, refused, stays := map[*person]int{}, people.failed(), people.stays()
	for _, p := range people {
		trees[p] = p.seen("note_tree")
	}
	asked, commits, begun := town.statements(), town.commits(), time.Now()
	for i, p := range people {
		town.pause(time.Until(begun.Add(time.Duration(i) * 2 * time.Second / time.Duration(len(people)))))
		p.drop()
	}
	town.waitsFor(120*time.Second, func() bool { return people.in() == len(people) && people.stays() >= stays+len(people) })
	h.took = time.Since(begun)
	for _, p := range people {
		h.frames = max(h.frames, p.seen("note_tree")-trees[p])
	}
	town.pause(3 * time.Second) // what follows from it is written
	h.statements = (town.statements() - asked - idle*time.Since(begun).Seconds()) / float64(len(people))
	h.commits = (town.commits() - commits) / float64(len(people))
	h.refused = people.failed() - refused
	town.settles(30 * time.Second)
	town.progress("%d were back after %v", len(people), h.took)
	return h
}

// statements is how many the server of the database has executed so far.
func (town *town) statements() float64 {
	town.t.Helper()
	return float64(town.count("SELECT CAST(VARIABLE_VALUE AS SIGNED) FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'QUESTIONS'"))
}

// commits sums up the transactions of all nodes.
func (town *town) commits() (sum float64) {
	town.t.Helper()
	for _, n := range town.nodes {
		sum += n.metric("rollcall_db_transactions_total")
	}
	return sum
}

// failed sums up handshakes that failed.
func (c crowd) failed() (n int) {
	for _, p := range c {
		p.mu.Lock()
		n += p.failures
		p.mu.Unlock()
	}
	return n
}

// backward counts those who saw a tree that was older than one before.
func (c crowd) backward() (n int) {
	for _, p := range c {
		p.mu.Lock()
		if p.backwards > 0 {
			n++
		}
		p.mu.Unlock()
	}
	return n
}
