package main

import (
	"context"
	"os"
	"runtime/debug"
	"time"
)

const (
	// gcPercent is how much the heap may grow between two collections, in percent of what is alive, unless GOGC says otherwise. What
	// is alive are mostly connections that do nothing, and pushing makes little garbage, so that half of Go's usual 100 costs next to
	// no time. GOMEMLIMIT is the runtime's own business.
	gcPercent = 50

	calmEvery = 5 * time.Second
	// rush is by how many sockets their number must have changed for what a rush leaves to be given back.
	rush = 500
)

// thrift keeps the memory of the process near what is alive: thousands who come at once leave as much garbage as they are themselves,
// and stacks that were deep. When their number has come to rest it is collected once and given back to the system.
func (p *program) thrift(ctx context.Context) error {
	if os.Getenv("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	}
	tick := time.NewTicker(calmEvery)
	defer tick.Stop()
	settled, last := 0, 0 // sockets when memory was given back, and a moment ago
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := p.hall.Sockets()
		if rushIsOver(settled, last, now) {
			debug.FreeOSMemory()
			settled = now
		}
		last = now
	}
}

// rushIsOver reports whether many sockets have come or gone since memory was given back, and few do now.
func rushIsOver(settled, last, now int) bool {
	return max(now-settled, settled-now) >= rush && max(now-last, last-now) < rush/10
}
