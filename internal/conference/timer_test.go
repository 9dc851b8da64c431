package conference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"rollcall/internal/fault"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// punctual is how late the end of a timer may be heard, in milliseconds.
var punctual = int64(storetest.Size(200, 1000)) // a short run has other tests beside it

// command gives a command that must be obeyed.
func (b *built) command(t *testing.T, conferenceID, action string, durationMs int64) Timed {
	t.Helper()
	var by *int64
	if durationMs != 0 {
		by = &durationMs
	}
	done, err := b.Timer(t.Context(), conferenceID, action, by)
	if err != nil {
		t.Fatalf("%s: %v", action, err)
	}
	return done
}

// finishes waits until the hall has heard once that the timer ended, and returns how late that was.
func (b *built) finishes(t *testing.T, conferenceID string) int64 {
	t.Helper()
	storetest.Eventually(t, func() bool { return len(b.hall.heard("timer_finished")) > 0 }, "the timer does not finish")
	said := b.hall.heard("timer_finished")
	var p struct {
		ConferenceID string
		At           int64
	}
	if err := json.Unmarshal([]byte(said[0].payload), &p); err != nil || p.ConferenceID != conferenceID || len(said) != 1 {
		t.Errorf("heard %v", said)
	}
	return said[0].at - p.At
}

func TestTimer(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := build(t, db, nil)
		b.patch(t, "42", `{"timer":{"label":"talk","n":1.10}}`)
		for _, action := range []string{"pause", "resume", "reset"} {
			if _, err := b.Timer(t.Context(), "42", action, nil); !fault.Is(err, fault.Conflict) {
				t.Errorf("%s before the start: %v", action, err)
			}
		}
		week, zero := maxTimer+1, int64(0)
		for _, by := range []*int64{nil, &zero, &week} {
			if _, err := b.Timer(t.Context(), "42", "start", by); !fault.Is(err, fault.Invalid) {
				t.Errorf("start with a wrong duration: %v", err)
			}
		}
		if _, err := b.Timer(t.Context(), "42", "explode", nil); !fault.Is(err, fault.Invalid) {
			t.Errorf("an unknown action: %v", err)
		}
		first := b.command(t, "42", "start", 60_000)
		if by := int64(5); b.rows(t, "conference_timers", "42") != 1 {
			t.Error("nothing is planned")
		} else if _, err := b.Timer(t.Context(), "42", "start", &by); !fault.Is(err, fault.Conflict) {
			t.Errorf("start while it runs: %v", err)
		}
		b.command(t, "42", "pause", 0)
		b.command(t, "42", "extend", 60_000)
		b.command(t, "42", "resume", 0)
		b.command(t, "42", "reset", 0)
		if b.rows(t, "conference_timers", "42") != 0 {
			t.Error("a timer that was reset is still planned")
		}
		b.shows(t, "42", "timer", `{"durationMs":120000,"label":"talk","n":1.10,"remainingMs":120000,"state":"idle"}`)
		last := b.command(t, "42", "start", 150)
		if last.Version <= first.Version || !strings.Contains(string(last.Timer), `"state":"running"`) {
			t.Errorf("the answer is %d %s", last.Version, last.Timer)
		}
		late := b.finishes(t, "42")
		t.Logf("%d ms late", late)
		if late < 0 || late > punctual {
			t.Errorf("finished %d ms after its end", late)
		}
		b.shows(t, "42", "timer", `{"durationMs":150,"label":"talk","n":1.10,"remainingMs":0,"state":"finished"}`)
		if told := b.told(t, "42"); len(told) != 1 || told[0] != `timer.finished {"durationMs":150}` {
			t.Errorf("the backend is told %v", told)
		}
	})
}

// A timer runs on while the process is away. One that ends meanwhile is finished when it is back.
func TestTimerSurvivesRestart(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := build(t, db, nil)
		b.command(t, "soon", "start", 1)
		b.finishes(t, "soon")
		b.command(t, "running", "start", 900)
		b.stop()
		b = b.again(t)
		if late := b.finishes(t, "running"); late < 0 || late > punctual {
			t.Errorf("after a restart it finished %d ms after its end", late)
		}
		b.stop()
		b.command(t, "away", "start", 30)
		storetest.Eventually(t, func() bool { at, err := db.Now(t.Context()); return err == nil && at > b.endsAt(t, "away") }, "time does not pass")
		b = b.again(t)
		b.finishes(t, "away")
		for _, id := range []string{"soon", "running", "away"} {
			if told := b.told(t, id); len(told) != 1 {
				t.Errorf("of %s the backend is told %v", id, told)
			}
		}
	})
}

// endsAt returns when a running timer ends.
func (b *built) endsAt(t *testing.T, conferenceID string) int64 {
	t.Helper()
	var s struct{ EndsAt int64 }
	if err := json.Unmarshal([]byte(b.section(t, conferenceID, "timer")), &s); err != nil || s.EndsAt == 0 {
		t.Fatal(err)
	}
	return s.EndsAt
}

// Two nodes see the same timers end at the same moment, and each is finished by one of them, once per run.
func TestTimersFinishOnce(t *testing.T) {
	const conferences, runs = 20, 2
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		one := build(t, db, nil)
		two := one.again(t)
		heard := func() int { return len(one.hall.heard("timer_finished")) + len(two.hall.heard("timer_finished")) }
		for run := range runs {
			for i := range conferences {
				[]*built{one, two}[i%2].command(t, fmt.Sprint("c", i), "start", 300)
			}
			storetest.Eventually(t, func() bool { return heard() >= conferences*(run+1) }, "not all timers finish")
		}
		one.stop()
		two.stop()
		if heard() != conferences*runs {
			t.Errorf("heard %d ends of %d", heard(), conferences*runs)
		}
		shared := len(one.hall.heard("timer_finished"))
		t.Logf("the first node finished %d of %d", shared, conferences*runs)
		for i := range conferences {
			if told := one.told(t, fmt.Sprint("c", i)); len(told) != runs {
				t.Errorf("of conference %d the backend is told %v", i, told)
			}
		}
	})
}

// What a backend writes over a running timer is what counts, and its own timers are its own affair.
func TestTimerOverwritten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := build(t, db, nil)
		b.command(t, "patched", "start", 100)
		b.patch(t, "patched", `{"timer":{"state":"paused"}}`)
		b.command(t, "kept", "start", 100)
		b.patch(t, "kept", `{"timer":{"label":"x"},"topicInfo":1}`)
		b.patch(t, "own", fmt.Sprintf(`{"timer":{"state":"running","endsAt":%d}}`, now()+10))
		b.command(t, "written", "start", 100)
		if _, err := db.SQL().Exec("UPDATE conference_nodes SET timer = '5 minutes' WHERE conference_id = 'written'"); err != nil {
			t.Fatal(err)
		}
		b.command(t, "last", "start", 150)
		storetest.Eventually(t, func() bool { return len(b.hall.heard("timer_finished")) == 2 }, "two of the timers end")
		for _, id := range []string{"patched", "own", "written"} {
			if n := b.rows(t, "conference_timers", id); n != 0 || len(b.told(t, id)) != 0 {
				t.Errorf("%s: %d rows, told %v", id, n, b.told(t, id))
			}
		}
		if s := b.section(t, "kept", "timer"); s != `{"durationMs":100,"label":"x","remainingMs":0,"state":"finished"}` {
			t.Errorf("the timer that kept its end: %s", s)
		}
		if _, err := b.Timer(t.Context(), "written", "reset", nil); !fault.Is(err, fault.Conflict) {
			t.Errorf("a command for a section that is not JSON: %v", err)
		}
	})
}

// The end of a conference stops its timer where it is; deleting the conference forgets it.
func TestTimerOfEndedConference(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b, yes := build(t, db, nil), true
		b.command(t, "42", "start", 60_000)
		if _, err := b.Register(t.Context(), "42", Registration{Ended: &yes}); err != nil {
			t.Fatal(err)
		}
		if s := b.section(t, "42", "timer"); !strings.Contains(s, `"state":"paused"`) || !strings.Contains(s, `"remainingMs":5`) {
			t.Errorf("the timer of an ended conference: %s", s)
		}
		if _, err := b.Timer(t.Context(), "42", "resume", nil); err != ErrEnded {
			t.Errorf("a command for it: %v", err)
		}
		if told := b.told(t, "42"); len(told) != 1 || told[0] != "conference.ended {}" {
			t.Errorf("the backend is told %v", told)
		}
		b.command(t, "43", "start", 60_000)
		if _, err := b.Register(t.Context(), "43", Registration{}); err != nil {
			t.Fatal(err)
		}
		if err := b.Remove(t.Context(), "43"); err != nil {
			t.Fatal(err)
		}
		if b.rows(t, "conference_timers", "42")+b.rows(t, "conference_timers", "43") != 0 {
			t.Error("timers are planned that nobody will see")
		}
	})
}

// A command finishes a timer that is due before it finds out that it does not fit, and all of that is undone. The end
// used to be counted all the same, and again when it was committed.
func TestEndIsCountedOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := build(t, db, nil)
		b.stop()
		b.command(t, "42", "start", 1)
		storetest.Eventually(t, func() bool { at, err := db.Now(t.Context()); return err == nil && at > b.endsAt(t, "42") }, "time does not pass")
		if _, err := b.Timer(t.Context(), "42", "pause", nil); !fault.Is(err, fault.Conflict) {
			t.Errorf("pause after the end: %v", err)
		}
		if n := b.counted(t, "rollcall_timers_finished_total"); n != 0 || len(b.hall.heard("timer_finished")) != 0 {
			t.Errorf("%v ends were counted of one that was undone", n)
		}
		b.command(t, "42", "start", 60_000) // fits: the end comes first
		if n := b.counted(t, "rollcall_timers_finished_total"); n != 1 || len(b.hall.heard("timer_finished")) != 1 {
			t.Errorf("%v ends were counted", n)
		}
	})
}

// One conference whose timer cannot be finished does not make those of the others late. They had to wait for half a
// second, until it was tried again.
func TestOneFailureMakesNobodyLate(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := build(t, db, nil)
		b.stop()
		b.command(t, "broken", "start", 1)
		b.command(t, "good", "start", 150)
		ends, late, ctx := b.endsAt(t, "good"), make(chan int64, 1), t.Context()
		a := b.agenda("conference_timers", "ends_at", "finish timers", func(ctx context.Context, conferenceID string) error {
			if conferenceID == "broken" {
				return errors.New("broken")
			}
			now, err := db.Now(ctx)
			late <- now - ends
			return errors.Join(err, b.timerDue(ctx, conferenceID))
		})
		ctx, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() { defer close(done); a.run(ctx) }()
		defer func() { stop(); <-done }()
		if ms := <-late; ms < 0 || ms > punctual {
			t.Errorf("%d ms late", ms)
		}
	})
}
