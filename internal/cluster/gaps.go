package cluster

import (
	"maps"
	"slices"
	"time"
)

const (
	// gapsMost bounds how many ids are waited for.
	gapsMost = 500
	// gapsFor is how long: longer than a transaction may take. What was rolled back never comes.
	gapsFor = 15 * time.Second
)

// gaps are ids that were not there although later ones were. The database gives ids out when a row is inserted and shows
// the row when it is committed, so a letter may appear behind one that has a higher id. The zero value is ready.
type gaps struct {
	since map[int64]time.Time // when the gap was found
}

// open notes those from one id up to, and without, another; of very many the last.
func (g *gaps) open(from, to int64, now time.Time) {
	for id := max(from, to-gapsMost); id < to; id++ {
		if g.since == nil {
			g.since = map[int64]time.Time{}
		}
		g.since[id] = now
	}
	for _, id := range g.list()[:max(0, len(g.since)-gapsMost)] {
		delete(g.since, id)
	}
}

// close notes that one was filled.
func (g *gaps) close(id int64) { delete(g.since, id) }

// forget gives up those that have been waited for long enough.
func (g *gaps) forget(now time.Time) {
	maps.DeleteFunc(g.since, func(_ int64, since time.Time) bool { return now.Sub(since) > gapsFor })
}

// list returns them in order.
func (g *gaps) list() []int64 { return slices.Sorted(maps.Keys(g.since)) }
