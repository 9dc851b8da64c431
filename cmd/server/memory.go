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

	tideEvery = time.Second
	// rush is by how many sockets their number must have changed for what a rush leaves to be given back.
	rush = 500
)

// thrift keeps the memory of the process near what is alive: thousands who come at once leave as much garbage as they are themselves,
// and stacks that were deep. When their number has come to rest it is collected and given back to the system.
func (p *program) thrift(ctx context.Context) error {
	if os.Getenv("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	}
	tick := time.NewTicker(tideEvery)
	defer tick.Stop()
	var t tide
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if t.isOut(p.hall.Sockets()) {
			debug.FreeOSMemory()
		}
	}
}

// After how many looks of calm memory is given back: soon, and once more, since a collection only halves a stack that was deep, and
// those who came last are still being told who is there.
const (
	soon     = 2
	onceMore = 5
)

// tide follows the number of sockets.
type tide struct {
	settled int // when memory was given back for the last time
	last    int // a look ago
	calm    int // for how many looks few have come or gone
}

// isOut is told the number at every look, and reports whether a rush is over and memory is to be given back.
func (t *tide) isOut(now int) bool {
	t.calm++
	if apart(now, t.last) >= rush/10 {
		t.calm = 0
	}
	t.last = now
	if t.calm < soon || apart(now, t.settled) < rush {
		return false
	}
	if t.calm >= onceMore {
		t.settled = now
	}
	return t.calm == soon || t.calm == onceMore
}

func apart(a, b int) int { return max(a-b, b-a) }
