// Package crew runs goroutines that an owner can stop taking on and wait for.
package crew

import "sync"

// Crew is a group of goroutines. Unlike a sync.WaitGroup it may be told to take on more while somebody already waits
// for its end. The zero value is ready. It is safe for concurrent use.
type Crew struct {
	mu     sync.Mutex // guards closed, and orders Go before Wait
	closed bool
	all    sync.WaitGroup
}

// Go runs f in a goroutine, or returns false if the crew is closed. A panic is f's own business, see package rescue.
func (c *Crew) Go(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.all.Go(f)
	return true
}

// Close takes nothing on any more and waits until all that runs has ended.
func (c *Crew) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.all.Wait()
}
