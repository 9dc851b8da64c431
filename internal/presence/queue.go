package presence

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	batchMax  = 200                  // ops of one transaction; its OR of pairs must stay below what SQLite parses
	batchWait = 4 * time.Millisecond // how long the first op of a batch waits for others
	maxOpens  = 10000
	maxCloses = 20000
)

// kind is what an op asks for.
type kind int

const (
	opening kind = iota // begin a session
	closing             // end a session
	reopen              // a session held here whose row is gone or closed: put it back
	look                // say again what is true of a user: his grace may be over, his row may be wrong
	end                 // take a user without sessions offline at once
)

// op is one wish to the writer.
type op struct {
	kind  kind
	row   sessionRow // the whole row of the session; for look and end only conference and user
	why   Reason
	held  *hold        // nil for sessions and users that this process does not hold
	epoch int64        // of the node when the writer took the op
	done  chan outcome // has room for the answer; nil when nobody waits
}

// outcome is the writer's answer to an op.
type outcome struct {
	arrival Arrival
	err     error
}

// answer gives the answer to whoever waits. The first one counts.
func (o *op) answer(r outcome) {
	select {
	case o.done <- r:
	default: // nobody waits, or he has his answer
	}
}

// queue holds ops in the order of their arrival. When it is full, opens are refused and closes are left to the
// comparison of sockets and rows; the few ops of sweeps are always taken.
type queue struct {
	wake chan struct{} // has room for one: something was pushed

	mu      sync.Mutex // guards what follows
	ops     []*op
	waiting [end + 1]int // by kind
	sealed  bool         // no more opens
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// push appends o and reports whether there was room.
func (q *queue) push(o *op) bool {
	q.mu.Lock()
	full := o.kind == opening && (q.sealed || q.waiting[opening] >= maxOpens) ||
		o.kind == closing && q.waiting[closing] >= maxCloses
	if !full {
		q.ops = append(q.ops, o)
		q.waiting[o.kind]++
	}
	q.mu.Unlock()
	if !full {
		q.ring()
	}
	return !full
}

// putBack puts ops that could not be written before all others.
func (q *queue) putBack(ops []*op) {
	q.mu.Lock()
	q.ops = slices.Concat(ops, q.ops)
	for _, o := range ops {
		q.waiting[o.kind]++
	}
	q.mu.Unlock()
	q.ring()
}

func (q *queue) ring() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// seal refuses opens from now on.
func (q *queue) seal() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sealed = true
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.ops)
}

// next waits for a batch. It returns nil once drain is done and nothing is left.
func (q *queue) next(drain context.Context) []*op {
	for q.len() == 0 {
		select {
		case <-q.wake:
		case <-drain.Done():
			return q.cut()
		}
	}
	gather := time.NewTimer(batchWait)
	defer gather.Stop()
	for q.len() < batchMax {
		select {
		case <-q.wake:
			continue
		case <-gather.C:
		case <-drain.Done():
		}
		break
	}
	return q.cut()
}

// cut takes the first ops of the queue, nil when it is empty.
func (q *queue) cut() []*op {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.ops), batchMax)
	if n == 0 {
		return nil
	}
	ops := slices.Clone(q.ops[:n])
	q.ops = slices.Delete(q.ops, 0, n)
	for _, o := range ops {
		q.waiting[o.kind]--
	}
	return ops
}
