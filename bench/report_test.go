package main

import (
	"strings"
	"testing"
	"time"
)

// A section that is written again leaves the other one as it was, and is there once.
func TestCompose(t *testing.T) {
	text := compose("", sections[1], "long one")
	text = compose(text, sections[0], "table one")
	text = compose(text, sections[0], "table two")
	for _, want := range []string{"long one", "table two", "## Side by side\n", "## Long run\n", "# What it costs\n"} {
		if n := strings.Count(text, want); n != 1 {
			t.Errorf("%q is there %d times in\n%s", want, n, text)
		}
	}
	if strings.Contains(text, "table one") || strings.Index(text, "table two") > strings.Index(text, "long one") {
		t.Errorf("got\n%s", text)
	}
	if again := compose(text, sections[1], "long one"); again != text {
		t.Errorf("the same section made another text:\n%s", again)
	}
}

// What is called 4 KiB has 4 KiB.
func TestContent(t *testing.T) {
	for _, z := range []size{64, target, 32 << 10} {
		section := strings.TrimSuffix(strings.TrimPrefix(z.content(7), `{"topicInfo":`), "}")
		if len(section) != int(z) {
			t.Errorf("%v has %d bytes", z, len(section))
		}
	}
}

func TestGauge(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []float64
		flat   bool
	}{
		{"as it was", []float64{50, 60, 100, 100, 100, 100, 100, 100, 100, 100}, true},
		{"up and down", []float64{50, 60, 90, 110, 90, 110, 90, 110, 90, 110}, true},
		{"up", []float64{50, 60, 100, 105, 110, 115, 120, 125, 130, 135}, false},
		{"only at first", []float64{10, 40, 90, 100, 100, 100, 100, 100, 100, 100}, true},
		{"one", []float64{1}, true},
	} {
		g := gauge{slack: 0.1, values: c.values}
		if g.flat() != c.flat {
			t.Errorf("%s: flat is %v", c.name, g.flat())
		}
	}
	g := gauge{values: []float64{0, 0, 1, 2, 3, 4, 5, 6, 7, 8}} // from the third on one more each time
	if got := g.hourly(time.Minute); got < 59.9 || got > 60.1 {
		t.Errorf("it grows by %v an hour, want 60", got)
	}
}
