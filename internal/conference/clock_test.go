package conference

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"rollcall/internal/fault"
)

// stopwatch is what a timer should do, told in other words: time is taken from what is left while it runs.
type stopwatch struct {
	state       string
	total, left int64
}

func (w *stopwatch) pass(ms int64) {
	if w.state == running {
		if w.left -= ms; w.left <= 0 {
			w.state, w.left = finished, 0
		}
	}
}

func (w *stopwatch) obey(action string, by int64) bool {
	active := w.state == running || w.state == paused
	switch {
	case action == "start" && !active:
		*w = stopwatch{running, by, by}
	case action == "pause" && w.state == running:
		w.state = paused
	case action == "resume" && w.state == paused:
		w.state = running
	case action == "extend" && active && w.left+by <= maxTimer:
		w.total, w.left = w.total+by, w.left+by
	case action == "reset" && w.state != "":
		w.state, w.left = idle, w.total
	default:
		return false
	}
	return true
}

// Whatever is commanded in whatever order, the section says what a stopwatch would, and the backend's keys stay.
func TestTimerIsAStopwatch(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // repeatable
		section, now, want := json.RawMessage(`{"label":"<1>","n":1.10,"big":9223372036854775807}`), int64(1_790_000_000_000), stopwatch{}
		for step := range 60 {
			dt := r.Int64N(400)
			now += dt
			want.pass(dt)
			var c content
			c.text[timerSection] = section
			got, err := readTimer(c)
			if err != nil {
				t.Fatal(err)
			}
			if got.state == running && got.endsAt <= now { // what the finisher does
				got.state, got.remainingMs = finished, 0
				section = got.section(section)
				c.text[timerSection] = section
				if got, err = readTimer(c); err != nil {
					t.Fatal(err)
				}
			}
			action, by := []string{"start", "pause", "resume", "extend", "reset"}[r.IntN(5)], 1+r.Int64N(500)
			fits := want.obey(action, by)
			after, err := got.obey(action, by, now)
			if fits != (err == nil) || err != nil && !fault.Is(err, fault.Conflict) {
				t.Fatalf("seed %d step %d: %s of %+v: %v, want it to fit: %v", seed, step, action, got, err, fits)
			}
			if err != nil {
				continue
			}
			section = after.section(section)
			left := after.remainingMs
			if after.state == running {
				left = after.endsAt - now
			}
			if after.state != want.state || left != want.left || after.durationMs != want.total {
				t.Fatalf("seed %d step %d: %s gives %s, want %+v", seed, step, action, section, want)
			}
			for _, part := range []string{`"label":"<1>"`, `"n":1.10`, `"big":9223372036854775807`} {
				if !strings.Contains(string(section), part) {
					t.Fatalf("%s is missing in %s", part, section)
				}
			}
			if strings.Contains(string(section), "endsAt") != (after.state == running) || strings.Contains(string(section), "remainingMs") == (after.state == running) {
				t.Fatalf("endsAt and remainingMs in %s", section)
			}
		}
	}
}

// What a backend wrote there is read with care.
func TestForeignTimer(t *testing.T) {
	for _, c := range []struct{ name, section, action, want string }{
		{"a backend's own running timer", `{"state":"running","endsAt":1500,"durationMs":900}`, "pause", `{"durationMs":900,"remainingMs":500,"state":"paused"}`},
		{"one whose end nobody knows", `{"state":"running"}`, "pause", ""},
		{"an end that is not a number", `{"state":"running","endsAt":"soon"}`, "extend", ""},
		{"a huge end", `{"state":"running","endsAt":9223372036854775807}`, "extend", ""},
		{"it can be reset", `{"state":"running","endsAt":"soon"}`, "reset", `{"durationMs":0,"remainingMs":0,"state":"idle"}`},
		{"a duration in words stays", `{"state":"paused","durationMs":"5 min","remainingMs":7}`, "resume", `{"durationMs":"5 min","endsAt":1007,"state":"running"}`},
		{"an unknown state is none", `{"state":"on fire"}`, "start", `{"durationMs":10,"endsAt":1010,"state":"running"}`},
		{"a state that is no text", `{"state":1}`, "reset", ""},
		{"a list", `[1]`, "start", ""},
		{"a text", `"5 minutes"`, "start", ""},
		{"blank", ``, "start", `{"durationMs":10,"endsAt":1010,"state":"running"}`},
	} {
		var tree content
		if c.section != "" {
			tree.text[timerSection] = json.RawMessage(c.section)
		}
		before, err := readTimer(tree)
		var got string
		if err == nil {
			var after timer
			if after, err = before.obey(c.action, 10, 1000); err == nil {
				got = string(after.section(tree.text[timerSection]))
			}
		}
		if got != c.want || (err == nil) != (c.want != "") || err != nil && !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}
