package message

import (
	"context"
	"sync"
)

// queue is a bounded list from which one goroutine takes. Safe for concurrent use; nothing but take waits.
type queue[T any] struct {
	most int
	wake chan struct{} // of capacity 1: something has come

	mu    sync.Mutex // guards items
	items []T
}

func newQueue[T any](most int) *queue[T] {
	return &queue[T]{most: most, wake: make(chan struct{}, 1)}
}

// push adds what there is room for and returns how many those are.
func (q *queue[T]) push(items ...T) int {
	q.mu.Lock()
	room := min(len(items), max(q.most-len(q.items), 0))
	q.items = append(q.items, items[:room]...)
	q.mu.Unlock()
	if room > 0 {
		nudge(q.wake)
	}
	return room
}

// putBack puts items that were taken first again, also above the bound.
func (q *queue[T]) putBack(items []T) {
	q.mu.Lock()
	q.items = append(items[:len(items):len(items)], q.items...)
	q.mu.Unlock()
	nudge(q.wake)
}

// now returns at most so many of what waits.
func (q *queue[T]) now(most int) []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(most, len(q.items))
	taken := q.items[:n:n]
	q.items = q.items[n:]
	if len(q.items) == 0 {
		q.items = nil // so that a burst does not keep its memory
	}
	return taken
}

// take waits until something is there or ctx ends, and returns at most so many.
func (q *queue[T]) take(ctx context.Context, most int) []T {
	for {
		if items := q.now(most); len(items) > 0 {
			return items
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

func (q *queue[T]) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}
