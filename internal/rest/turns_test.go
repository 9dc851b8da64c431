package rest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// Large bodies wait for each other, small ones for nobody, and nobody for ever.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := make(turns, 1)
		done, p := turns.take(t.Context(), largeBody+1)
		if p != nil {
			t.Fatal(p)
		}
		if small, p := turns.take(t.Context(), largeBody); p != nil {
			t.Errorf("a small one: %v", p)
		} else {
			small()
		}
		begun := time.Now()
		if _, p := turns.take(t.Context(), largeBody+1); p == nil || p.Status != 503 || time.Since(begun) != longTurn {
			t.Errorf("a second large one: %v after %v", p, time.Since(begun))
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, p := turns.take(gone, largeBody+1); p == nil {
			t.Error("whoever has gone had a turn")
		}
		go func() {
			time.Sleep(time.Second) // in the time of the test
			done()
		}()
		if next, p := turns.take(t.Context(), largeBody+1); p != nil {
			t.Errorf("when the first is done: %v", p)
		} else {
			next()
		}
	})
}
