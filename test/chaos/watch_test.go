package chaos_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"
)

// lookEvery is how often a watch compares what is said with what is true.
const lookEvery = 100 * time.Millisecond

// watch looks, ten times a second, at what the database and REST say of people, and holds it against what the harness knows
// of them. It starts with watches and ends with end.
type watch struct {
	town   *town
	cancel context.CancelFunc
	done   chan struct{}

	mu   sync.Mutex        // guards the rest
	want map[key]expecting // who is not in here may be anything
	seen findings
}

// expecting is what must be said of somebody: never offline, or nothing but that from some time on.
type expecting struct {
	here bool
	from time.Time // of !here
}

// wrong are the false offlines and ghosts together, with the first evidence of some of them.
func (f findings) wrong() (n int, evidence string) {
	for _, m := range []map[key]string{f.falseOffline, f.ghosts} {
		for k, what := range m {
			if n++; n <= 3 {
				evidence += fmt.Sprintf(" %v: %s;", k, what)
			}
		}
	}
	return n, evidence
}

// findings are what a watch has seen.
type findings struct {
	looks, reads, blind int            // at the database; answers of REST; looks that failed
	falseOffline        map[key]string // who was said to be offline while here, and where that was said first
	ghosts              map[key]string // who was said to be here while gone
}

// watches starts a watch that expects nothing yet.
func (town *town) watches() *watch {
	town.t.Helper()
	ctx, cancel := context.WithCancel(town.ctx)
	w := &watch{town: town, cancel: cancel, done: make(chan struct{}), want: map[key]expecting{}}
	w.seen.falseOffline, w.seen.ghosts = map[key]string{}, map[key]string{}
	if !town.hands.Go(func() { w.run(ctx) }) {
		town.t.Fatal("the town is over")
	}
	return w
}

// stay says that these people are never offline from now on.
func (w *watch) stay(keys []key) { w.expect(keys, expecting{here: true}) }

// gone says that these people are offline, from a time on.
func (w *watch) gone(keys []key, from time.Time) { w.expect(keys, expecting{from: from}) }

// forget says that these people may be anything.
func (w *watch) forget(keys []key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range keys {
		delete(w.want, k)
	}
}

func (w *watch) expect(keys []key, e expecting) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range keys {
		w.want[k] = e
	}
}

// end stops the watch and returns what it saw. A watch that saw nothing has no word to say about what was wrong.
func (w *watch) end() findings {
	w.town.t.Helper()
	w.cancel()
	<-w.done
	w.town.progress("looked %d times at the database and %d times at REST, in vain %d times", w.seen.looks, w.seen.reads, w.seen.blind)
	if w.seen.looks == 0 || w.seen.reads == 0 {
		w.town.t.Error("the watch never saw the database or REST")
	}
	return w.seen
}

func (w *watch) run(ctx context.Context) {
	defer close(w.done)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for turn := 0; ; turn++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.look(ctx, turn)
		}
	}
}

// look looks once: at all people in the database, and by REST at one conference on one node, a different one each time.
func (w *watch) look(ctx context.Context, turn int) {
	w.mu.Lock()
	want := maps.Clone(w.want)
	w.mu.Unlock()
	begin := time.Now()
	here, err := w.town.here(ctx)
	if ctx.Err() != nil {
		return
	}
	w.note(err, func(f *findings) { f.looks++ })
	if err == nil {
		w.judge(want, begin, "the database", func(k key) (state string, known bool) { return here[k], true })
	}

	var conferences []string
	for k := range want {
		conferences = append(conferences, k.conference)
	}
	nodes := w.town.living()
	if len(nodes) == 0 || len(conferences) == 0 {
		return
	}
	n, conference := nodes[turn%len(nodes)], conferences[0] // the order of a map is another one each time
	begin = time.Now()
	roster, err := n.roster(ctx, conference)
	if !n.answers.Load() || ctx.Err() != nil {
		return // it, or the watch, was stopped meanwhile
	}
	w.note(err, func(f *findings) { f.reads++ })
	if err == nil {
		w.judge(want, begin, "REST of "+n.id, func(k key) (state string, known bool) {
			state = roster.states[k.user]
			return state, k.conference == conference && (state != "" || !roster.more)
		})
	}
}

// note counts a look, or one that failed although nobody stopped the watch.
func (w *watch) note(err error, f func(*findings)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		f(&w.seen)
	} else {
		w.seen.blind++
	}
}

// judge holds what was said of people, since begin, against what was to be expected before that was asked and still is.
func (w *watch) judge(want map[key]expecting, begin time.Time, by string, said func(key) (state string, known bool)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k, e := range want {
		state, known := said(k)
		switch {
		case !known || w.want[k] != e:
		case e.here && state == "":
			w.seen.falseOffline[k] = first(w.seen.falseOffline[k], by)
		case !e.here && state != "" && begin.After(e.from):
			w.seen.ghosts[k] = first(w.seen.ghosts[k], by+" "+state)
		}
	}
}

// first returns what was said before, else now.
func first(before, now string) string {
	if before != "" {
		return before
	}
	return fmt.Sprintf("%s at %s", now, time.Now().Format("15:04:05.000"))
}

// here returns the state of everybody who is not offline, as the database says.
func (town *town) here(ctx context.Context) (map[key]string, error) {
	rows, err := town.pool.QueryContext(ctx, "SELECT conference_id, user_id, state FROM presence WHERE state <> 'offline'")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	here := map[key]string{}
	for rows.Next() {
		var k key
		var state string
		if err := rows.Scan(&k.conference, &k.user, &state); err != nil {
			return nil, err
		}
		here[k] = state
	}
	return here, rows.Err()
}

// roster is what REST says of a conference.
type roster struct {
	online int
	states map[string]string // of those who are not offline, by user
	more   bool              // there are others
}

func (n *node) roster(ctx context.Context, conference string) (roster, error) {
	var p struct {
		Online int
		More   bool
		Users  []struct{ UserID, State string }
	}
	if err := n.get(ctx, "/api/v1/conferences/"+conference+"/presence", &p); err != nil {
		return roster{}, err
	}
	r := roster{p.Online, map[string]string{}, p.More}
	for _, u := range p.Users {
		if u.State == "online" || u.State == "reconnecting" {
			r.states[u.UserID] = u.State
		}
	}
	return r, nil
}
