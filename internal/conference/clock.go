package conference

import (
	"encoding/json"
	"strconv"

	"rollcall/internal/fault"
	"rollcall/internal/rawjson"
)

// What the section timer says of a timer under state. Anything else is a timer that nobody has started.
const (
	running  = "running"
	paused   = "paused"
	finished = "finished"
	idle     = "idle"
)

// timer is what rollcall reads and writes of the section timer. A number that is not there, or that nobody can
// count with, is unknown.
type timer struct {
	state                           string // "" for none
	durationMs, endsAt, remainingMs int64
}

const unknown = int64(-1)

// latest bounds the numbers in a section that others write: far beyond any meeting, far from overflow.
const latest = int64(1) << 53

// errTimerForeign is returned for a section timer that holds something else.
var errTimerForeign = fault.New(fault.Conflict, "conflict", "the section timer holds something that is not a timer")

// readTimer reads the timer of a tree.
func readTimer(c content) (timer, error) {
	if c.broken[timerSection] {
		return timer{}, errTimerForeign
	}
	if c.text[timerSection] == nil {
		return timer{"", unknown, unknown, unknown}, nil
	}
	fields, ok := rawjson.Object(c.text[timerSection])
	if !ok {
		return timer{}, errTimerForeign
	}
	t := timer{"", milliseconds(fields["durationMs"]), milliseconds(fields["endsAt"]), milliseconds(fields["remainingMs"])}
	var state string
	if json.Unmarshal(fields["state"], &state) == nil {
		switch state {
		case running, paused, finished, idle:
			t.state = state
		}
	}
	return t, nil
}

func milliseconds(text json.RawMessage) int64 {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n < 0 || n > latest {
		return unknown
	}
	return n
}

// obey returns the timer after a command at a time. by is what start and extend are about.
func (t timer) obey(action string, by, now int64) (timer, error) {
	left := t.remainingMs
	if t.state == running {
		left = unknown
		if t.endsAt != unknown {
			left = max(0, t.endsAt-now)
		}
	}
	counts := left != unknown
	switch {
	case action == "start" && t.state != running && t.state != paused:
		return timer{running, by, now + by, unknown}, nil
	case action == "pause" && t.state == running && counts:
		return timer{paused, t.durationMs, unknown, left}, nil
	case action == "resume" && t.state == paused && counts:
		return timer{running, t.durationMs, now + left, unknown}, nil
	case action == "extend" && (t.state == running || t.state == paused) && counts:
		return t.extend(by, left, now)
	case action == "reset" && t.state != "":
		all := max(0, t.durationMs)
		return timer{idle, all, unknown, all}, nil
	}
	return timer{}, fault.New(fault.Conflict, "conflict", "the timer is "+t.shown()+": it cannot "+action)
}

func (t timer) extend(by, left, now int64) (timer, error) {
	if left += by; left > maxTimer {
		return timer{}, fault.Invalidf("the timer would have more than %d ms left", maxTimer)
	}
	all := max(0, t.durationMs) + by
	if t.state == running {
		return timer{running, all, now + left, unknown}, nil
	}
	return timer{paused, all, unknown, left}, nil
}

func (t timer) shown() string {
	if t.state == "" {
		return "not started"
	}
	return t.state
}

// section merges the timer into the section that it was read from.
func (t timer) section(before json.RawMessage) json.RawMessage {
	fields, ok := rawjson.Object(before)
	if !ok {
		fields = map[string]json.RawMessage{}
	}
	fields["state"] = strconv.AppendQuote(nil, t.state)
	put := func(key string, n int64, there bool) {
		switch {
		case !there:
			delete(fields, key)
		case n != unknown:
			fields[key] = strconv.AppendInt(nil, n, 10)
		}
	}
	put("durationMs", t.durationMs, true)
	put("endsAt", t.endsAt, t.state == running)
	put("remainingMs", t.remainingMs, t.state != running)
	text, err := rawjson.Encode(fields)
	if err != nil {
		return before
	}
	return text
}
