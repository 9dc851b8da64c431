// Package stats holds the little arithmetic that measuring needs.
package stats

import (
	"math"
	"slices"
)

// Quantile returns the value below or at which the share q of the values lies; 0 if there are none.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[rank(len(sorted), q)-1]
}

// rank returns the place, from 1, of the quantile q among n sorted values.
func rank(n int, q float64) int {
	return max(1, min(n, int(math.Ceil(q*float64(n)))))
}

// Median returns the middle of the values, of an even number the mean of the two in the middle; 0 if there are none.
func Median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Line returns the straight line a + b*x that is closest to the points by least squares. Fewer than two different x have none.
func Line(x, y []float64) (a, b float64, ok bool) {
	var sx, sy, sxx, sxy float64
	for i := range x {
		sx += x[i]
		sy += y[i]
		sxx += x[i] * x[i]
		sxy += x[i] * y[i]
	}
	n := float64(len(x))
	d := n*sxx - sx*sx
	if n < 2 || d == 0 {
		return 0, 0, false
	}
	b = (n*sxy - sx*sy) / d
	return (sy - b*sx) / n, b, true
}
