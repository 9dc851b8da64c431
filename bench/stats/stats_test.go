package stats_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"rollcall/bench/stats"
)

func TestQuantileAndMedian(t *testing.T) {
	values := []float64{5, 1, 4, 2, 3}
	for _, c := range []struct{ q, want float64 }{{0, 1}, {0.2, 1}, {0.21, 2}, {0.5, 3}, {0.99, 5}, {1, 5}} {
		if got := stats.Quantile(values, c.q); got != c.want {
			t.Errorf("quantile %v is %v, want %v", c.q, got, c.want)
		}
	}
	if got := stats.Median(values); got != 3 {
		t.Errorf("the median is %v, want 3", got)
	}
	if got := stats.Median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("the median of four is %v, want 2.5", got)
	}
	if values[0] != 5 {
		t.Error("the values were sorted in place")
	}
	if stats.Quantile(nil, 0.5) != 0 || stats.Median(nil) != 0 {
		t.Error("nothing has a median")
	}
}

func TestLine(t *testing.T) {
	a, b, ok := stats.Line([]float64{100, 1000, 10000}, []float64{7 + 100*3, 7 + 1000*3, 7 + 10000*3})
	if !ok || math.Abs(a-7) > 1e-6 || math.Abs(b-3) > 1e-9 {
		t.Errorf("got %v + %v*x, %v, want 7 + 3*x", a, b, ok)
	}
	// Of these the closest line is known: 1 + 1.5*x.
	if a, b, ok = stats.Line([]float64{0, 1, 2}, []float64{1.5, 1.5, 4.5}); !ok || math.Abs(a-1) > 1e-9 || math.Abs(b-1.5) > 1e-9 {
		t.Errorf("got %v + %v*x, %v, want 1 + 1.5*x", a, b, ok)
	}
	if _, _, ok := stats.Line([]float64{5, 5}, []float64{1, 2}); ok {
		t.Error("points above one another have a line")
	}
}

func TestHistogram(t *testing.T) {
	var h stats.Histogram
	if h.Quantile(0.5) != 0 {
		t.Error("an empty histogram has a median")
	}
	var all []float64
	for range 10_000 {
		d := time.Duration(math.Exp(rand.Float64() * 25)) // from nanoseconds to a minute
		h.Add(d)
		all = append(all, float64(d))
	}
	for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 1} {
		got, want := float64(h.Quantile(q)), stats.Quantile(all, q)
		if got < want || got > want*1.04 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if h.Count() != 10_000 {
		t.Errorf("counted %d", h.Count())
	}
	h.Add(-1)
	h.Add(math.MaxInt64)
	if got := h.Quantile(1); got < math.MaxInt64-math.MaxInt64/32 {
		t.Errorf("the longest time came out as %v", got)
	}
}
