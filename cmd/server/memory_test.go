package main

import (
	"slices"
	"testing"
)

// TestTide looks at numbers of sockets, and says at which looks memory is to be given back.
func TestTide(t *testing.T) {
	stay := func(n, looks int) []int { return slices.Repeat([]int{n}, looks) }
	for _, c := range []struct {
		what    string
		sockets []int
		want    []int
	}{
		{"a start", stay(0, 50), nil},
		{"few", slices.Concat([]int{200, 400}, stay(499, 50)), nil},
		{"many", slices.Concat([]int{3000, 6000}, stay(6001, 50)), []int{11, 26}},
		{"all go", slices.Concat(stay(600, 40), stay(0, 40)), []int{10, 25, 50, 65}},
		{"a breath in between", slices.Concat(stay(5000, 15), stay(9000, 40)), []int{10, 25, 40}},
		{"little by little", []int{9, 18, 27, 36, 45, 54, 63, 72, 81, 90, 99, 108}, nil},
	} {
		var tide tide
		var got []int
		for look, n := range c.sockets {
			if tide.isOut(n) {
				got = append(got, look)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: given back at looks %v, not %v", c.what, got, c.want)
		}
	}
}

// Thousands who come at once are a rush until some time after the last of them; those who go, or change places, are none.
func TestTideRises(t *testing.T) {
	var tide tide
	rises := func(sockets int) bool { tide.isOut(sockets); return tide.rises() }
	for i, sockets := range []int{50, 0, 99, 150, 100} {
		if rises(sockets) {
			t.Errorf("look %d: %d are a rush", i, sockets)
		}
	}
	for i := range soon {
		if sockets := 200 + 10*i; !rises(sockets) {
			t.Errorf("%d looks after 100 had come it is over", i)
		}
	}
	if rises(0) {
		t.Error("it is never over")
	}
}

// A heap may grow by half, a small one by more, and any by a lot while many come.
func TestGrowth(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		alive uint64
		rises bool
		want  int
	}{
		{200 * mib, false, 50}, {64 * mib, false, 50}, {16 * mib, false, 100}, {0, false, 1600},
		{200 * mib, true, 100}, {64 * mib, true, 200}, {0, true, 12800},
	} {
		if got := growth(c.alive, c.rises); got != c.want {
			t.Errorf("%d MiB, rising %v: %d %%, not %d", c.alive/mib, c.rises, got, c.want)
		}
	}
}
