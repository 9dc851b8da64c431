package storetest

import (
	"testing"
	"time"
)

const (
	patience = 10 * time.Second
	interval = 5 * time.Millisecond
)

// Eventually waits up to 10 s until cond holds and fails t at once, naming what, when it does not. It asks
// every 5 ms, in the goroutine of the test.
func Eventually(t testing.TB, cond func() bool, what string) {
	t.Helper()
	EventuallyWithin(t, patience, cond, what)
}

// EventuallyWithin is Eventually with a bound of d.
func EventuallyWithin(t testing.TB, d time.Duration, cond func() bool, what string) {
	t.Helper()
	deadline := time.After(d)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			if !cond() {
				t.Fatalf("not within %v: %s", d, what)
			}
			return
		}
	}
}
