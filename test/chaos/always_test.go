package chaos_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// What must hold after every case.

// truth returns who has an open client, by what the clients know.
func (town *town) truth() map[key]bool {
	open := map[key]bool{}
	for _, p := range town.people.every() {
		if p.isIn() && p.conference != "" {
			open[p.key()] = true
		}
	}
	return open
}

// difference says how the database, and REST of every node that answers, differ from the truth; "" if they do not.
func (town *town) difference() string {
	open := town.truth()
	here, err := town.here(town.ctx)
	if err != nil {
		return err.Error()
	}
	counts := map[string]int{}
	for k := range open {
		counts[k.conference]++
		if here[k] != "online" {
			return fmt.Sprintf("%v is online, the database says %q", k, here[k])
		}
	}
	for k, state := range here {
		if !open[k] {
			return fmt.Sprintf("%v is offline, the database says %q", k, state)
		}
	}
	for _, n := range town.living() {
		for conference, count := range counts {
			r, err := n.roster(town.ctx, conference)
			if err != nil {
				return err.Error()
			}
			if r.online != count {
				return fmt.Sprintf("%d are online in %s, REST of %s says %d", count, conference, n.id, r.online)
			}
		}
	}
	return ""
}

// settles waits until what is said of everybody is true, everywhere, and returns how long that took. The bound is of a hang:
// targets are held against what is returned.
func (town *town) settles(most time.Duration) time.Duration {
	town.t.Helper()
	begin, limit := time.Now(), time.After(most)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		now := time.Now()
		different := town.difference()
		if different == "" {
			return now.Sub(begin)
		}
		select {
		case <-tick.C:
		case <-limit:
			town.t.Fatalf("not within %v: %s", most, different)
		}
	}
}

// looksRight ends a case: I1 what is said of everybody is true, I4 no session of an unknown node or epoch is open, I5 nothing in
// the logs that must not be there.
func (town *town) looksRight() {
	town.t.Helper()
	town.settles(town.paces.nodeTimeout + town.paces.grace + 10*time.Second)
	strangers := town.strangers()
	var complaints []string
	for _, n := range town.nodes {
		complaints = append(complaints, complaintsOf(n.id, n.log.String())...)
	}
	broken := strings.Join(complaints, "; ")
	if strangers > 0 {
		broken = fmt.Sprintf("%d open sessions of dead epochs; %s", strangers, broken)
	}
	if broken != "" {
		town.t.Errorf("after the case: %s", broken)
	}
	always.note(broken == "")
}

// strangers counts open sessions of nodes or epochs that do not live.
func (town *town) strangers() int {
	town.t.Helper()
	return town.count("SELECT COUNT(*) FROM presence_sessions s LEFT JOIN nodes n ON n.id = s.node_id AND n.epoch = s.epoch AND n.state = 'up' WHERE s.closed_at IS NULL AND n.id IS NULL")
}

// complaintsOf returns what must not be in the log of a node: races, panics, and errors that are repeated more than once a second.
func complaintsOf(id, log string) []string {
	var found []string
	last, often := map[string]time.Time{}, map[string]int{}
	for line := range strings.Lines(log) {
		if strings.Contains(line, "DATA RACE") || strings.Contains(line, "panic") {
			found = append(found, fmt.Sprintf("node %s: %.200s", id, line))
		}
		var e struct {
			Time       time.Time
			Level, Msg string
		}
		if json.Unmarshal([]byte(line), &e) != nil || e.Level != "ERROR" {
			continue
		}
		if before, ok := last[e.Msg]; ok && e.Time.Sub(before) < time.Second {
			often[e.Msg]++
		}
		last[e.Msg] = e.Time
	}
	for msg, n := range often {
		if n > 1 { // twice within a second is no flood
			found = append(found, fmt.Sprintf("node %s said %d times within a second of before: %s", id, n, msg))
		}
	}
	return found
}
