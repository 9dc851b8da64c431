package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	tideEvery = 200 * time.Millisecond
	// rush is by how many sockets their number must have changed for what a rush leaves to be given back.
	rush = 500
	// surge is how many come between two looks at least while thousands come at once.
	surge = 100
	// trickle is how many come or go between two looks at most while there is no rush.
	trickle = 10
)

// After how many looks of calm memory is given back: soon, and once more, since a collection only halves a stack that was deep, and
// those who came last are still being told who is there.
const (
	soon     = 10
	onceMore = 25
)

// By how much the heap may grow between two collections. What is alive are mostly connections that do nothing, and pushing makes little
// garbage, so that half of it costs next to no time; but in a small process that would be a collection for every few pushes. While
// thousands come at once a collection is what the processor can spare least. GOMEMLIMIT is above all that: the runtime sees to it.
const (
	leastGrowth = 16 << 20
	rushGrowth  = 128 << 20
)

// thrift keeps the memory of the process near what is alive: thousands who come at once leave as much garbage as they are themselves,
// and stacks that were deep. When their number has come to rest it is collected and given back to the system. Who sets GOGC decides
// himself when to collect.
func (p *program) thrift(ctx context.Context) error {
	tuned := os.Getenv("GOGC") == ""
	if tuned {
		defer debug.SetGCPercent(debug.SetGCPercent(100))
	}
	tick := time.NewTicker(tideEvery)
	defer tick.Stop()
	percent := 100
	for t := (tide{}); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if t.isOut(p.hall.Sockets()) {
			debug.FreeOSMemory()
		}
		if want := growth(alive(), t.rises()); tuned && far(want, percent) {
			debug.SetGCPercent(want)
			percent = want
		}
	}
}

// alive returns how many bytes of the heap the last collection has found in use.
func alive() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// growth returns by how many percent of what is alive the heap may grow.
func growth(alive uint64, rises bool) int {
	alive = max(alive, 1<<20)
	by := max(alive/2, leastGrowth)
	if rises {
		by = max(alive, rushGrowth)
	}
	return int(100 * by / alive)
}

// far reports whether two percentages differ by enough to change the one for the other, which stops the world for a moment.
func far(a, b int) bool { return 10*apart(a, b) > b }

// tide follows the number of sockets.
type tide struct {
	settled int // when memory was given back for the last time
	last    int // a look ago
	calm    int // for how many looks few have come or gone
	swell   int // for how many looks it is still as if many came at once
}

// isOut is told the number at every look, and reports whether a rush is over and memory is to be given back.
func (t *tide) isOut(now int) bool {
	t.calm++
	if apart(now, t.last) > trickle {
		t.calm = 0
	}
	if t.swell = max(t.swell-1, 0); now-t.last >= surge {
		t.swell = soon
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

// rises reports whether many have come at once, a moment ago.
func (t *tide) rises() bool { return t.swell > 0 }

func apart(a, b int) int { return max(a-b, b-a) }
