package conference

import (
	"testing"
	"time"
)

// What counts is the work, not the time that passes meanwhile.
func TestBusy(t *testing.T) {
	if waited := busy(func() { <-time.After(100 * time.Millisecond) }); waited > 50*time.Millisecond {
		t.Errorf("to wait for 100 ms is %v of work", waited)
	}
	worked := busy(func() {
		for before := threadTime(); threadTime()-before < 20*time.Millisecond; {
		}
	})
	if worked < 20*time.Millisecond || worked > 40*time.Millisecond {
		t.Errorf("20 ms of work are %v", worked)
	}
}
