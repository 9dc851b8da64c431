package crew

import (
	"sync/atomic"
	"testing"
)

// Taking on and closing at once was a race with a bare WaitGroup: a node that was stopped while people came and went
// ended with an error.
func TestCloseWhileTakingOn(t *testing.T) {
	for range 200 {
		var (
			c       Crew
			ran     atomic.Int64
			taken   int64
			stopped = make(chan struct{})
		)
		go func() {
			defer close(stopped)
			for c.Go(func() { ran.Add(1) }) {
				taken++
			}
		}()
		c.Close()
		after := ran.Load()
		<-stopped
		if after != taken || ran.Load() != taken {
			t.Fatalf("%d were taken on, %d had ended when Close returned, %d in the end", taken, after, ran.Load())
		}
	}
}
