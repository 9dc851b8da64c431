package presence

import (
	"context"
	"testing"
)

// A full queue refuses opens and closes, each by its own bound, and takes what sweeps ask for; batches are capped
// and keep the order.
func TestQueueIsBounded(t *testing.T) {
	q := newQueue()
	for range maxOpens {
		q.push(&op{kind: opening})
	}
	for range maxCloses {
		q.push(&op{kind: closing})
	}
	if q.push(&op{kind: opening}) || q.push(&op{kind: closing}) {
		t.Error("a full queue took more")
	}
	if !q.push(&op{kind: look}) {
		t.Error("a sweep was refused")
	}
	drain, finish := context.WithCancel(t.Context())
	first := q.next(drain)
	if len(first) != batchMax || first[0].kind != opening {
		t.Errorf("first batch: %d ops", len(first))
	}
	q.seal()
	if q.push(&op{kind: opening}) {
		t.Error("a sealed queue took an open")
	}
	q.putBack(first[:1])
	if again := q.next(drain); again[0] != first[0] {
		t.Error("what was put back is not first")
	}
	finish()
	n := 0
	for ops := q.next(drain); ops != nil; ops = q.next(drain) {
		n += len(ops)
	}
	if want := maxOpens + maxCloses + 1 - batchMax - (batchMax - 1); n != want {
		t.Errorf("%d ops drained, want %d", n, want)
	}
}
