package cluster

import (
	"slices"
	"testing"
	"time"
)

// What is committed behind a letter with a higher id is still read, what is never committed is given up, and very many are not
// remembered.
func TestGaps(t *testing.T) {
	var r reader
	begin := time.Now()
	for _, id := range []int64{3, 4, 7} { // begun at 0
		r.seen(id, begin)
	}
	if got := r.gaps.list(); !slices.Equal(got, []int64{0, 1, 2, 5, 6}) || r.next != 8 {
		t.Fatalf("missing %v, next %d", got, r.next)
	}
	r.seen(5, begin)
	r.seen(8, begin.Add(gapsFor))
	r.seen(10, begin.Add(gapsFor))
	r.gaps.forget(begin.Add(gapsFor + time.Second))
	if got := r.gaps.list(); !slices.Equal(got, []int64{9}) || r.next != 11 {
		t.Fatalf("missing %v, next %d", got, r.next)
	}
	r.seen(1_000_000, begin)
	if got := r.gaps.list(); len(got) != gapsMost || got[0] != 1_000_000-gapsMost {
		t.Fatalf("%d missing, from %d", len(got), got[0])
	}
}
