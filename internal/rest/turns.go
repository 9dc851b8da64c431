package rest

import (
	"context"
	"net/http"
	"runtime"
	"time"
)

const (
	largeBody = 32 << 10         // bytes; beyond that a call can keep a processor busy for as long as a thousand small ones
	longTurn  = 10 * time.Second // how long a call may wait for its turn
)

// turns are had by calls with large bodies, so that they never keep more than half of the processors busy: the sockets and the small
// calls need the rest. It holds as many as are under way.
type turns chan struct{}

func newTurns() turns { return make(turns, max(1, runtime.GOMAXPROCS(0)/2)) }

// take waits for a turn if a body of so many bytes needs one. done gives it back.
func (t turns) take(ctx context.Context, body int) (done func(), p *problem) {
	if body <= largeBody {
		return func() {}, nil
	}
	patience := time.NewTimer(longTurn)
	defer patience.Stop()
	select {
	case t <- struct{}{}:
		return func() { <-t }, nil
	case <-ctx.Done():
	case <-patience.C:
	}
	return nil, newProblem(http.StatusServiceUnavailable, "unavailable", "too many calls with large bodies wait")
}
