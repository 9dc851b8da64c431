package main

import (
	"errors"
	"strings"
	"testing"
)

func filled(values ...[3]float64) *row {
	r := &row{what: "thing", unit: micros}
	for round, v := range values {
		for k := range kinds {
			if v[k] > 0 {
				r.set(k, round, v[k])
			}
		}
	}
	return r
}

// Ratios are those of the rounds, not of the medians, and a round that one of the two missed does not count.
func TestRatio(t *testing.T) {
	r := filled([3]float64{10, 20, 5}, [3]float64{100, 50, 0}, [3]float64{0, 1, 1}, [3]float64{30, 30, 15})
	if got, ok := r.ratio(node); !ok || got != 1 {
		t.Errorf("to Node it is %v, %v, want 1", got, ok)
	}
	if got, ok := r.ratio(floor); !ok || got != 2 {
		t.Errorf("to the floor it is %v, %v, want 2", got, ok)
	}
	if _, ok := filled([3]float64{10, 0, 0}).ratio(node); ok {
		t.Error("there is a ratio to nothing")
	}
}

func TestHeld(t *testing.T) {
	for _, c := range []struct {
		name   string
		most   float64
		ratios [kinds]float64
		values []([3]float64)
		fault  bool
		want   string
	}{
		{"no target", 0, [kinds]float64{}, [][3]float64{{10, 1, 1}}, false, ""},
		{"below", 10, [kinds]float64{}, [][3]float64{{9, 0, 0}}, false, "held"},
		{"as much as is printed", 10, [kinds]float64{}, [][3]float64{{10.004, 0, 0}}, false, "held"},
		{"above", 10, [kinds]float64{}, [][3]float64{{10.006, 0, 0}}, false, "NOT HELD"},
		{"one of two ratios", 0, [kinds]float64{node: 0.85, floor: 1.25}, [][3]float64{{9, 10, 8}}, false, "NOT HELD"},
		{"both ratios", 0, [kinds]float64{node: 0.85, floor: 1.25}, [][3]float64{{8, 10, 8}}, false, "held"},
		{"no peer", 0, [kinds]float64{node: 1}, [][3]float64{{8, 0, 8}}, false, "NOT HELD"},
		{"not measured", 10, [kinds]float64{}, nil, false, "NOT HELD"},
		{"failed", 10, [kinds]float64{}, [][3]float64{{9, 0, 0}}, true, "FAILED"},
	} {
		r := filled(c.values...)
		if r.most, r.ratios = c.most, c.ratios; c.fault {
			r.fault(rollcall, 0, errors.New("lost"))
		}
		cells := r.cells(true)
		if got := cells[len(cells)-1]; got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if held := c.want != "NOT HELD" && c.want != "FAILED"; r.held() != held {
			t.Errorf("%s: held is %v", c.name, r.held())
		}
	}
}

func TestTable(t *testing.T) {
	r := filled([3]float64{1.234, 20, 0}, [3]float64{3.234, 20, 0})
	r.most = 3
	got := table([]*row{r}, true)
	for _, want := range []string{"| thing |", "2.23 µs (1.23 µs to 3.23 µs)", "| ≤ 3.00 µs | held |", "0.11"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	r.fault(node, 1, errors.New("lost two"))
	if got := table([]*row{r}, true); !strings.Contains(got, "- thing: Node, round 2: lost two") {
		t.Errorf("the fault is not in\n%s", got)
	}
}

func TestTurn(t *testing.T) {
	first := map[kind]int{}
	for round := range 3 {
		order := turn(round)
		first[order[0]]++
		if len(order) != 3 || order[0] == order[1] || order[1] == order[2] || order[0] == order[2] {
			t.Errorf("round %d: %v", round, order)
		}
	}
	if len(first) != 3 {
		t.Errorf("%d of the three were first once", len(first))
	}
}
