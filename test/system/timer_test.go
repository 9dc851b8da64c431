package system_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/internal/clienttest"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// tells starts the server anew with what no variable can say: where webhooks go.
func (s *server) tells(url string, events string) {
	s.t.Helper()
	s.stop()
	s.told = fmt.Sprintf("webhooks:\n- {url: %q, secret: %s, events: [%s]}\n", url, webhookSecret, events)
	s.start()
}

// told counts the deliveries to the backend that hold all fragments.
func (e *ears) told(fragments ...string) (n int) {
	for _, line := range e.all() {
		holds := true
		for _, f := range fragments {
			holds = holds && strings.Contains(line, f)
		}
		if holds {
			n++
		}
	}
	return n
}

const timerFinished = `"timer.finished"`

// clock is a server whose timer is watched by stock clients and by the backend.
type clock struct {
	*server
	ears     *ears
	driver   *clienttest.Driver
	watchers []*clienttest.Client
	runs     int
	worst    time.Duration // between the planned end and a client that hears of it
}

// ticking is what the timer's command and the tree say of it.
type ticking struct {
	State               string
	EndsAt, RemainingMs int64
}

func (c *clock) watch(o clienttest.Options) {
	c.t.Helper()
	o.URL, o.Reconnect = c.base, true
	o.Query = map[string]string{"userId": fmt.Sprint("watcher", len(c.watchers)), "conferenceId": "42"}
	w := c.driver.Connect(c.t, o)
	w.Wait(c.t, "note_tree", nil)
	c.watchers = append(c.watchers, w)
}

func (c *clock) command(action string, d time.Duration) ticking {
	c.t.Helper()
	body := map[string]any{"action": action}
	if d != 0 {
		body["durationMs"] = d.Milliseconds()
	}
	var done struct{ Timer ticking }
	c.must("POST", "/api/v1/conferences/42/timer", body, &done)
	return done.Timer
}

// planned is the end that the last tree of a client with a running timer told.
func planned(w *clienttest.Client) (endsAt int64) {
	for _, e := range w.Events("note_tree") {
		var tree struct{ Timer ticking }
		if json.Unmarshal(e.Args[0], &tree) == nil && tree.Timer.State == "running" {
			endsAt = tree.Timer.EndsAt
		}
	}
	return endsAt
}

// ends waits for the end of a run: each client hears of it, and the backend once.
func (c *clock) ends(at int64) {
	c.t.Helper()
	c.runs++
	for i, w := range c.watchers {
		e := w.Wait(c.t, "timer_finished", told(`"conferenceId":"42"`, fmt.Sprintf(`"at":%d`, at)))
		late := e.Time().Sub(time.UnixMilli(at))
		c.worst = max(c.worst, late)
		if late < -5*time.Millisecond || late > time.Second { // clocks are cut to milliseconds
			c.t.Errorf("watcher %d hears %v after the planned end that it is reached", i, late)
		}
		if p := planned(w); p != at {
			c.t.Errorf("the last tree of watcher %d told an end %d ms beside the real one", i, p-at)
		}
		w.Wait(c.t, "note_tree", told(`"state":"finished"`, `"remainingMs":0`))
	}
	storetest.Eventually(c.t, func() bool { return c.ears.told(timerFinished) >= c.runs }, "the backend is not told that the timer finished")
}

// allThere waits until every watcher has come back.
func (c *clock) allThere() {
	c.t.Helper()
	storetest.Eventually(c.t, func() bool { return c.metric("rollcall_sockets") == float64(len(c.watchers)) }, "not all watchers come back")
}

// once looks that nobody heard of a run twice.
func (c *clock) once() {
	c.t.Helper()
	for i, w := range c.watchers {
		seen := map[string]int{}
		for _, e := range w.Events("timer_finished") {
			seen[string(e.Args[0])]++
		}
		for what, n := range seen {
			if n != 1 {
				c.t.Errorf("watcher %d heard %d times of %s", i, n, what)
			}
		}
	}
	if n := c.ears.told(timerFinished); n != c.runs {
		c.t.Errorf("the backend was told of %d ends, %d there were", n, c.runs)
	}
	var stored int
	if err := c.pool().QueryRow("SELECT COUNT(*) FROM webhook_outbox WHERE type = 'timer.finished'").Scan(&stored); err != nil || stored != c.runs {
		c.t.Errorf("%d ends are in the outbox, want %d: %v", stored, c.runs, err)
	}
}

// A timer is paused, goes on, outlives its process, and finishes once, when it was to.
func TestTimerSurvives(t *testing.T) {
	storetestEach(t, func(t *testing.T, dialect string) {
		t.Parallel() // it mostly waits
		c := &clock{server: launch(t, dialect, settings{"build": "quick", "presence.grace": "5s", "presence.node_timeout": "3s", "presence.node_heartbeat": "500ms"}), ears: newEars(t), driver: clienttest.Start(t)}
		c.tells(c.ears.URL, "timer.finished")
		c.watch(clienttest.Options{Transports: []string{"websocket"}})
		c.watch(clienttest.Options{Version: 2})
		c.watch(clienttest.Options{Transports: []string{"polling"}, NoUpgrade: true})

		first := c.command("start", 3*time.Second)
		<-time.After(700 * time.Millisecond) // the timer runs meanwhile
		paused := c.command("pause", 0)
		if gone := 3000 - paused.RemainingMs; paused.State != "paused" || gone < 700 || gone > 2500 {
			t.Errorf("paused after 0.7 s it is %+v", paused)
		}
		<-time.After(time.Until(time.UnixMilli(first.EndsAt).Add(300 * time.Millisecond))) // past the end that it had
		if n := c.ears.told(timerFinished); n != 0 {
			t.Errorf("a timer that is paused finished %d times", n)
		}
		again := c.command("resume", 0)
		c.watch(clienttest.Options{}) // who comes late hears of the end too
		c.ends(again.EndsAt)

		for _, down := range []func(){c.stop, c.kill} {
			c.command("start", 3*time.Second)
			longer := c.command("extend", 5*time.Second)
			down()
			c.start()
			c.allThere()
			c.ends(longer.EndsAt)
		}

		missed := c.command("start", 1200*time.Millisecond)
		c.kill()
		<-time.After(time.Until(time.UnixMilli(missed.EndsAt).Add(500 * time.Millisecond))) // nobody is there at its end
		c.start()
		open := time.Now()
		c.runs++
		storetest.Eventually(t, func() bool { return c.ears.told(timerFinished) >= c.runs }, "a timer that ended while the process was away was not finished")
		soon := time.Since(open)
		c.allThere()
		var tree struct{ Timer ticking }
		c.must("GET", "/api/v1/conferences/42/tree", nil, &tree)
		if tree.Timer.State != "finished" {
			t.Errorf("a timer that ended while the process was away is %+v", tree.Timer)
		}
		for i, w := range c.watchers { // by now all that is sent about earlier runs has come
			w.EmitAck(t, "jywsping")
			if n := len(w.Events("timer_finished")); n < 3 || n > 4 {
				t.Errorf("watcher %d heard %d times of 3 ends, and of one while the process was away", i, n)
			}
		}
		c.once()
		storetest.Show(t, "pause, resume, extend, planned stop and kill -9 while it runs: each of 3 runs finished once at each of %d clients, at most %v after the planned end; one whose end the process missed was finished %v after it opened; the backend told %d times of %d runs",
			len(c.watchers), c.worst.Round(time.Millisecond), soon.Round(time.Millisecond), c.ears.told(timerFinished), c.runs)
	})
}

// Two processes on one database: each run is finished by one of them.
func TestTimersOfTwoProcesses(t *testing.T) {
	a, e := launch(t, store.MySQL, settings{"build": "quick"}), newEars(t)
	a.tells(e.URL, "timer.finished")
	b := &server{t: t, db: a.db, path: a.path, env: a.env, told: a.told}
	b.start()
	both := []*server{a, b}
	rooms, rounds := storetest.Size(60, 12), 3
	sockets := make([]*wire, 0, 2*rooms)
	for i := range 2 * rooms {
		w, err := join(both[i%2].base, fmt.Sprint("u", i), fmt.Sprint("room", i/2))
		if err != nil {
			t.Fatal(err)
		}
		defer w.leave()
		sockets = append(sockets, w)
	}
	for round := range rounds {
		for i := range rooms {
			both[(i+round)%2].must("POST", fmt.Sprintf("/api/v1/conferences/room%d/timer", i), `{"action":"start","durationMs":1500}`, nil)
		}
		storetest.EventuallyWithin(t, 20*time.Second, func() bool { return e.told(timerFinished) >= rooms*(round+1) }, "the backend is not told of all ends")
	}
	heard := func() (sum int) {
		for i, w := range sockets {
			w.mu.Lock()
			n := w.count["timer_finished"]
			w.mu.Unlock()
			if sum += n; n > rounds {
				t.Fatalf("socket %d heard of %d ends, there were %d", i, n, rounds)
			}
		}
		return sum
	}
	storetest.Eventually(t, func() bool { return heard() >= rooms*rounds }, "of some ends nobody hears")
	for i := range rooms {
		if n := e.told(timerFinished, fmt.Sprintf(`"room%d"`, i)); n != rounds {
			t.Errorf("the backend was told of %d ends in room %d, there were %d", n, i, rounds)
		}
	}
	var stored int
	if err := a.pool().QueryRow("SELECT COUNT(*) FROM webhook_outbox WHERE type = 'timer.finished'").Scan(&stored); err != nil || stored != rooms*rounds {
		t.Errorf("%d ends are in the outbox, want %d: %v", stored, rooms*rounds, err)
	}
	finished := []float64{a.metric("rollcall_timers_finished_total"), b.metric("rollcall_timers_finished_total")}
	if finished[0]+finished[1] != float64(rooms*rounds) {
		t.Errorf("the processes finished %v timers of %d", finished, rooms*rounds)
	}
	storetest.Show(t, "two processes finished %d timers, one %.0f and the other %.0f of them; the backend was told of %d ends", rooms*rounds, finished[0], finished[1], e.told(timerFinished))
}
