package main

import (
	"slices"
	"testing"
)

// TestTide looks at numbers of sockets, and says at which looks memory is to be given back.
func TestTide(t *testing.T) {
	for _, c := range []struct {
		what    string
		sockets []int
		want    []int
	}{
		{"a start", []int{0, 0, 0, 0, 0, 0, 0}, nil},
		{"few", []int{200, 400, 499, 499, 499, 499, 499, 499, 499}, nil},
		{"many", []int{3000, 6000, 6001, 6001, 6001, 6001, 6001, 6001}, []int{3, 6}},
		{"all go", []int{600, 600, 600, 600, 600, 600, 0, 0, 0, 0, 0, 0, 0}, []int{2, 5, 8, 11}},
		{"a breath in between", []int{5000, 5000, 5000, 9000, 9000, 9000, 9000, 9000, 9000}, []int{2, 5, 8}},
		{"little by little", []int{49, 98, 147, 196, 245, 294, 343, 392, 441, 490, 539, 588, 637, 686}, nil},
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
