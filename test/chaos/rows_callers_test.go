package chaos_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"rollcall/internal/servertest"
)

const (
	callersAtOnce = 6
	// callersPatience bounds one call: a node answers within database.timeout and a little.
	callersPatience = 20 * time.Second
)

// callers are backends that post one notice after the other to all nodes in turn, each with an Idempotency-Key, and repeat it
// until it is taken. They begin with calls and end with end.
type callers struct {
	town *town
	to   []string // users
	name string   // that of the notices, before their numbers
	stop chan struct{}
	done sync.WaitGroup

	mu       sync.Mutex        // guards the rest
	taken    map[string]string // the id that was answered, by key
	other    map[string]bool   // keys that were answered with two ids
	again    int               // calls that were repeated
	odd      map[string]int    // answers that are neither taken nor "try again"
	slowest  time.Duration
	downtime bool // no answer at all is no fault: nodes are killed
}

// callersFor starts callers who post to users.
func (town *town) callersFor(to []string, downtime bool) *callers {
	c := &callers{town: town, to: to, name: "posted", stop: make(chan struct{}), taken: map[string]string{}, other: map[string]bool{}, odd: map[string]int{}, downtime: downtime}
	for i := range callersAtOnce {
		c.done.Go(func() { c.work(i) })
	}
	town.t.Cleanup(func() { c.end() })
	return c
}

// end lets everybody finish what he has begun.
func (c *callers) end() {
	select {
	case <-c.stop:
	default:
		close(c.stop)
	}
	c.done.Wait()
}

func (c *callers) work(caller int) {
	for i := 0; c.town.ctx.Err() == nil; i++ {
		select {
		case <-c.stop:
			return
		default:
		}
		key := fmt.Sprintf("%s-%d-%d", c.name, caller, i)
		for try := 0; !c.post(key, c.town.nodes[(caller+i+try)%len(c.town.nodes)]); try++ {
			if !c.town.waits(100 * time.Millisecond) {
				return
			}
		}
		c.town.waits(20 * time.Millisecond)
	}
}

// post reports whether nothing more is to be done for the notice.
func (c *callers) post(key string, n *node) bool {
	ctx, cancel := context.WithTimeout(c.town.ctx, callersPatience)
	defer cancel()
	begun := time.Now()
	a, err := servertest.Call(ctx, "POST", n.base+"/api/v1/notices", map[string]any{"to": map[string]any{"users": c.to}, "title": key, "label": key}, "Idempotency-Key", key)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slowest = max(c.slowest, time.Since(begun))
	var posted struct{ ID string }
	switch {
	case err == nil && a.Status == http.StatusAccepted && json.Unmarshal(a.Body, &posted) == nil:
		if before := c.taken[key]; before != "" && before != posted.ID {
			c.other[key] = true
		}
		c.taken[key] = posted.ID
		return true
	case err == nil && a.Status == http.StatusServiceUnavailable && a.Header.Get("Retry-After") != "", err == nil && a.Status == http.StatusConflict:
	case err != nil && c.downtime, c.town.ctx.Err() != nil:
	case err != nil:
		c.odd[err.Error()]++
	default:
		c.odd[fmt.Sprintf("%d %.200s", a.Status, a.Body)]++
	}
	c.again++
	return false
}

// count returns how many notices were taken so far.
func (c *callers) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.taken)
}

// repeated returns how many calls were not taken at once, so far.
func (c *callers) repeated() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.again
}

// strange lists answers that nobody should have got.
func (c *callers) strange() (n int, what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, answer := range slices.Sorted(maps.Keys(c.odd)) {
		n += c.odd[answer]
		what += fmt.Sprintf(" %d times %s;", c.odd[answer], answer)
	}
	return n, what
}

// stored counts, when everybody is done, notices that are not in the log, and those that are there, or were answered for, more than
// once.
func (c *callers) stored() (lost, doubled int) {
	c.town.t.Helper()
	found := map[string]int{}
	for _, label := range c.town.column("SELECT label FROM notices WHERE label LIKE ?", c.name+"-%") {
		found[label]++
	}
	for key := range c.taken {
		if found[key] == 0 {
			lost++
		}
	}
	for _, times := range found {
		if times > 1 {
			doubled++
		}
	}
	return lost, doubled + len(c.other)
}

// reader is a client that notes the notices it gets.
type reader struct {
	*person

	mu  sync.Mutex // guards ids
	ids map[string]int
}

// reads lets somebody come who notes notices: by the live event, not by the counts of what is unread.
func (town *town) reads(v visit) *reader {
	town.t.Helper()
	r := &reader{ids: map[string]int{}}
	v.hear = func(_ *person, event string, args []json.RawMessage) {
		var n struct{ ID string }
		if event == "notice" && len(args) > 0 && json.Unmarshal(args[0], &n) == nil {
			r.mu.Lock()
			r.ids[n.ID]++
			r.mu.Unlock()
		}
	}
	var err error
	if r.person, err = town.enters(v); err != nil {
		town.t.Fatal(err)
	}
	return r
}

// misses counts notices that were taken and that the reader has not got.
func (c *callers) misses(r *reader) (n int, evidence string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, id := range c.taken {
		if r.ids[id] == 0 {
			if n++; n == 1 {
				evidence = fmt.Sprintf(" (%s did not get %s)", r.user, key)
			}
		}
	}
	return n, evidence
}
