package main

import "testing"

// Memory is given back once for each rush, when it is over, and for small changes never.
func TestRushIsOver(t *testing.T) {
	for _, c := range []struct {
		settled, last, now int
		want               bool
	}{
		{0, 0, 0, false}, {0, 499, 499, false}, {0, 300, 5000, false}, {0, 4990, 5000, true}, {5000, 5000, 5000, false},
		{5000, 4800, 4510, false}, {5000, 4505, 4500, true}, {5000, 10, 0, true},
	} {
		if got := rushIsOver(c.settled, c.last, c.now); got != c.want {
			t.Errorf("given back at %d, then %d and %d sockets: %v", c.settled, c.last, c.now, got)
		}
	}
}
