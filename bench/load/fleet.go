package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Now is the clock of this process: it never goes back, and is the same for what is sent and what comes.
func Now() time.Duration { return time.Since(began) }

var began = time.Now()

// Handler gets a message, which is valid until it returns. Those of one client come one after another.
type Handler func(c *Conn, message []byte)

// Fleet is clients that are connected.
type Fleet struct {
	handler atomic.Pointer[Handler]
	mu      sync.Mutex // guards conns and broken
	conns   []*Conn
	broken  error
	leaving atomic.Bool
	gone    atomic.Int64 // bytes that clients got who are no longer in conns
	readers sync.WaitGroup
}

// NewFleet returns a fleet without clients.
func NewFleet(h Handler) *Fleet {
	f := &Fleet{}
	f.Handle(h)
	return f
}

// Handle gives what comes from now on to another handler.
func (f *Fleet) Handle(h Handler) { f.handler.Store(&h) }

// Add connects n clients, so many at a time, and returns when all of them are let in or one could not be.
func (f *Fleet) Add(ctx context.Context, n, parallel int, way func(i int) Way) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		next atomic.Int64
		all  sync.WaitGroup
	)
	for range min(n, parallel) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				c, err := dial(way(i))
				if err != nil {
					cancel(fmt.Errorf("connect client %d of %d: %w", i+1, n, err))
					return
				}
				f.take(c)
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// take reads what comes to a client until it ends.
func (f *Fleet) take(c *Conn) {
	f.mu.Lock()
	f.conns = append(f.conns, c)
	f.mu.Unlock()
	f.readers.Go(func() {
		for {
			message, err := c.next()
			if err != nil {
				f.lost(c, err)
				return
			}
			(*f.handler.Load())(c, message)
		}
	})
}

// lost notes the end of a client, if it was not sent away.
func (f *Fleet) lost(c *Conn, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, mine := range f.conns {
		if mine == c && !f.leaving.Load() && f.broken == nil {
			f.broken = fmt.Errorf("a client lost its connection: %w", err)
		}
	}
}

// Dismiss lets the n clients go that have been there for longest.
func (f *Fleet) Dismiss(n int) {
	f.mu.Lock()
	n = min(n, len(f.conns))
	going := f.conns[:n:n]
	f.conns = f.conns[n:]
	f.mu.Unlock()
	for _, c := range going {
		c.leave()
		f.gone.Add(c.received.Load())
	}
}

// Size returns how many clients there are.
func (f *Fleet) Size() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.conns)
}

// Received returns the bytes that all clients have got since they connected.
func (f *Fleet) Received() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.gone.Load()
	for _, c := range f.conns {
		n += c.received.Load()
	}
	return n
}

// Err says whether a client was lost.
func (f *Fleet) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.broken
}

// Close lets all clients go and waits for their ends.
func (f *Fleet) Close() {
	f.leaving.Store(true)
	f.Dismiss(f.Size())
	f.readers.Wait()
}

// Until waits until ready says so, for so long at most, and looks every few milliseconds.
func Until(ctx context.Context, most time.Duration, ready func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, most, errLate)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}

var errLate = errors.New("it did not happen in time")
