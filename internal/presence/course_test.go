package presence

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"rollcall/internal/id"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// A script runs over so many ticks of a second, with a grace of so many.
const (
	ticks      = 40
	graceTicks = 5
)

// turn is a session of a script, in ticks. It lasts one tick at least; to ticks is: it stays open.
type turn struct {
	id       string
	from, to int
	why      Reason
}

// oracle tells by looking at every tick what course tells by folding.
type oracle []turn

func (o oracle) there(tick int) bool {
	return slices.ContainsFunc(o, func(s turn) bool { return s.from <= tick && (tick < s.to || s.to == ticks) })
}

// last returns the session that was the last to close up to a tick.
func (o oracle) last(tick int) (last turn, ok bool) {
	for _, s := range o {
		if s.to <= tick && s.to < ticks && (!ok || s.to > last.to || s.to == last.to && s.id > last.id) {
			last, ok = s, true
		}
	}
	return last, ok
}

func (o oracle) state(tick int) State {
	if o.there(tick) {
		return Online
	}
	if s, ok := o.last(tick); ok && (s.why == Lost || s.why == NodeLost) && tick < s.to+graceTicks {
		return Reconnecting
	}
	return Offline
}

// present says whether somebody counts as attending at a tick: a loss from which he came back in time was none.
func (o oracle) present(tick, end int) bool {
	if o.state(tick) != Reconnecting {
		return o.there(tick)
	}
	lost, _ := o.last(tick)
	for ; tick < min(end, lost.to+graceTicks); tick++ {
		if o.there(tick) {
			return true
		}
	}
	return false
}

// intervals returns the runs of ticks in which he was present before end, as Interval does.
func (o oracle) intervals(at func(tick int) int64, end int) (out []Interval) {
	in := false
	for tick := range end {
		switch now := o.present(tick, end); {
		case now && !in:
			out = append(out, Interval{From: at(tick)})
		case !now && in:
			s, _ := o.last(tick)
			out[len(out)-1].To, out[len(out)-1].Reason = at(tick), s.why.shown()
		}
		in = o.present(tick, end)
	}
	if in && end < ticks {
		out[len(out)-1].To, out[len(out)-1].Reason = at(end), Ended
		if s, ok := o.last(end); ok && s.to == end && !slices.ContainsFunc(o, func(s turn) bool { return s.from < end && s.to > end }) {
			out[len(out)-1].Reason = s.why.shown()
		}
	}
	return out
}

func drawScript(r *rapid.T) (o oracle) {
	for range rapid.IntRange(1, 9).Draw(r, "sessions") {
		from := rapid.IntRange(0, ticks-2).Draw(r, "from")
		s := turn{id: id.New(), from: from, to: rapid.IntRange(from+1, min(from+12, ticks)).Draw(r, "to")}
		if s.to < ticks {
			s.why = rapid.SampledFrom([]Reason{Lost, Lost, NodeLost, Left, Kicked, Duplicate}).Draw(r, "why")
		}
		o = append(o, s)
	}
	return o
}

func (o oracle) write(t *testing.T, db *store.DB, conf string, at func(tick int) int64) {
	t.Helper()
	for _, s := range o {
		var closed *int64
		if s.to < ticks {
			ms := at(s.to)
			closed = &ms
		}
		do(t, db, "INSERT INTO presence_sessions (id, conference_id, user_id, node_id, epoch, opened_at, closed_at, reason) VALUES (?, ?, 'anna', 'elsewhere', 1, ?, ?, ?)",
			s.id, conf, at(s.from), closed, s.why)
	}
}

// Whatever somebody's sessions are, attendance and the roster of the past say what looking at every second says.
func TestCourse(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := New(Config{DB: db, Node: "n1", Grace: graceTicks * time.Second})
		begin := time.Now().Add(-ticks*time.Second).UnixMilli() - 5000
		at := func(tick int) int64 { return begin + int64(tick)*1000 }
		round := 0
		rapid.Check(t, func(r *rapid.T) {
			round++
			conf := fmt.Sprintf("c%d", round)
			o := drawScript(r)
			o.write(t, db, conf, at)
			end := rapid.IntRange(1, ticks).Draw(r, "end")
			until := at(end)
			if end == ticks {
				until = 0
			}
			look := comparison{r, p, conf, o}
			look.attendance(until, o.intervals(at, end))
			for range 5 {
				tick := rapid.IntRange(0, ticks-1).Draw(r, "tick")
				look.roster(at(tick), o.state(tick))
			}
		})
	})
}

// comparison is a script, and who tells of it.
type comparison struct {
	*rapid.T
	p      *Presence
	conf   string
	script oracle
}

func (c comparison) attendance(until int64, want []Interval) {
	before, err := c.p.cfg.DB.Now(context.Background())
	if err != nil {
		c.Fatal(err)
	}
	all, err := c.p.Attendance(context.Background(), c.conf, until)
	if err != nil {
		c.Fatal(err)
	}
	var got Attendee
	if len(all) > 0 {
		got = all[0]
	}
	if diff := cmp.Diff(want, got.Intervals); diff != "" {
		c.Fatalf("%+v until %d (-want +got):\n%s", c.script, until, diff)
	}
	total := int64(0)
	open := false
	for _, i := range want {
		if i.To == 0 {
			open, i.To = true, before
		}
		total += i.To - i.From
	}
	if spare := got.TotalMs - total; spare < 0 || spare > 5000 || !open && spare != 0 {
		c.Fatalf("%+v: total %d, want %d", c.script, got.TotalMs, total)
	}
}

func (c comparison) roster(at int64, want State) {
	roster, err := c.p.RosterAt(context.Background(), c.conf, at, 10)
	if err != nil {
		c.Fatal(err)
	}
	got := Offline
	if len(roster.Users) > 0 {
		got = roster.Users[0].State
	}
	if got != want || roster.Online != number(want) {
		c.Fatalf("%+v at %d: %s, %d online, want %s", c.script, at, got, roster.Online, want)
	}
}
