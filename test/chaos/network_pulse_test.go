package chaos_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"rollcall/internal/storetest"
)

// fair is the p99 below which people have nothing to complain of, whatever it was before.
const fair = 20 * time.Millisecond

// pulse changes the trees of rooms again and again, and measures when which change reaches the people who hear it.
type pulse struct {
	town  *town
	rooms []string // changed in turn
	every time.Duration

	mu   sync.Mutex // guards the rest
	due  map[string][]time.Time
	seen map[key]int // the newest change that somebody has seen, by its place in due
	took []time.Duration
}

// pulses gives every room a tree of a size and change 0.
func (town *town) pulses(every time.Duration, size map[string]int, rooms ...string) *pulse {
	town.t.Helper()
	u := &pulse{town: town, rooms: rooms, every: every, due: map[string][]time.Time{}, seen: map[key]int{}}
	for room, bytes := range size {
		agenda := map[string]any{"conferenceInfo": map[string]string{"agenda": strings.Repeat("x", bytes)}}
		if err := town.nodes[0].call(town.ctx, "PATCH", "/api/v1/conferences/"+room+"/tree", agenda, nil); err != nil {
			town.t.Fatal(err)
		}
		u.change(room, time.Now())
	}
	return u
}

// hear notes the changes that a tree brings. Those that were close together may come in one tree.
func (u *pulse) hear(p *person, event string, args []json.RawMessage) {
	if event != "note_tree" || len(args) == 0 {
		return
	}
	now := time.Now()
	_, rest, _ := bytes.Cut(args[0], []byte(`"change":`))
	digits, _, _ := bytes.Cut(rest, []byte("}"))
	change, err := strconv.Atoi(string(digits))
	if err != nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	last, known := u.seen[p.key()]
	u.seen[p.key()] = max(last, change)
	for i := last + 1; known && i <= change; i++ {
		u.took = append(u.took, now.Sub(u.due[p.conference][i]))
	}
}

// change changes the tree of a room.
func (u *pulse) change(room string, due time.Time) {
	u.town.t.Helper()
	u.mu.Lock()
	change := len(u.due[room])
	u.due[room] = append(u.due[room], due)
	u.mu.Unlock()
	if err := u.town.nodes[0].call(u.town.ctx, "PATCH", "/api/v1/conferences/"+room+"/tree", map[string]any{"topicInfo": map[string]int{"change": change}}, nil); err != nil {
		u.town.t.Fatal(err)
	}
}

// p99 makes changes for a while, and returns the time by which 99 of 100 had reached the person whom they were for, reckoned from
// when each was due to be made. All have reached all when it returns.
func (u *pulse) p99(during time.Duration) time.Duration {
	u.town.t.Helper()
	u.mu.Lock()
	u.took = nil
	u.mu.Unlock()
	begin := time.Now()
	for i := 0; time.Since(begin) < during; i++ {
		due := begin.Add(time.Duration(i) * u.every)
		u.town.pause(time.Until(due)) // not at all if the change before took too long
		u.change(u.rooms[i%len(u.rooms)], due)
	}
	u.town.eventually(30*time.Second, "every change reaches everybody", func() bool { return u.behind() == 0 })
	u.mu.Lock()
	defer u.mu.Unlock()
	slices.Sort(u.took)
	if len(u.took) == 0 {
		u.town.t.Fatal("nobody heard of any change")
	}
	return u.took[len(u.took)*99/100]
}

// behind counts people who have not seen the newest change of their room.
func (u *pulse) behind() (n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for k, change := range u.seen {
		if change < len(u.due[k.conference])-1 {
			n++
		}
	}
	return n
}

// feels adds the row that says whether people felt what went on beside them. Times are held in the long form only: in the short one
// the race detector and the cases beside this one take the machine, and what came in the end must do.
func (c *trial) feels(n int, quiet, under time.Duration) {
	c.t.Helper()
	figure := under.Round(100*time.Microsecond).String() + ", before " + quiet.Round(100*time.Microsecond).String()
	if !storetest.Proving() {
		c.progress("p99 of a tree at %d others %s", n, figure)
		return
	}
	c.says(n, "p99 of a tree at the others no worse than double, or "+fair.String(), figure, under <= max(2*quiet, fair))
}

// breath is the memory that the garbage collector, and under it the race detector, may take for a while beside what is counted.
const breath = 64 << 20

// peaks samples the resident memory of a node until the function that it returns is called, which returns the most there was and
// what there was before.
func (n *node) peaks() (end func() (before, peak float64)) {
	n.t.Helper()
	const resident = "rollcall_process_resident_memory_bytes"
	before := n.metric(resident)
	peak := before
	stop, done := make(chan struct{}), make(chan struct{})
	n.hands.Go(func() {
		defer close(done)
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if now, err := n.reads(resident); err == nil {
					peak = max(peak, now)
				}
			case <-stop:
				return
			case <-n.ctx.Done():
				return
			}
		}
	})
	return func() (float64, float64) {
		close(stop)
		<-done
		return before, peak
	}
}
