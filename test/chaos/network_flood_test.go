package chaos_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/internal/clienttest"
	"rollcall/internal/storetest"
)

// A flooder is this test binary as a process of its own at low priority: outside it would have a machine of its own, and here it has
// what the others leave of this one, or its own work would be measured. TestMain becomes one when flooderVar is set, to its order.
const flooderVar = "ROLLCALL_TEST_CHAOS_FLOODER"

// floodOrder is what a flooder is to do.
type floodOrder struct {
	Base      string
	PerSecond int
	For       time.Duration
}

// flooded is what a flooder has done and what was done to it.
type flooded struct {
	Sent, Limited, Opened, Closed int
	Longest                       time.Duration // of a connection that the server closed
	Trouble                       string
}

func becomeFlooder(text string) int {
	var o floodOrder
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var did flooded
	for end := time.Now().Add(o.For); time.Now().Before(end) && did.Trouble == ""; {
		if err := o.pours(end, &did); err != nil {
			did.Trouble = err.Error()
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(did); err != nil {
		return 1
	}
	return 0
}

// pours sends events on one connection, every other one with a wish for an answer, until the server closes it or the end has come.
func (o floodOrder) pours(end time.Time, did *flooded) error {
	link, err := clienttest.DialWire(o.Base, url.Values{"userId": {"flooder"}, "conferenceId": {"elsewhere"}})
	if err != nil {
		return err
	}
	defer link.Vanish()
	if err := link.Admitted(30 * time.Second); err != nil {
		return err
	}
	did.Opened++
	opened, limited, closed := time.Now(), 0, make(chan struct{})
	go func() { // ends with the connection
		defer close(closed)
		for {
			packet, err := link.Next(time.Until(end) + 30*time.Second)
			if err != nil {
				return
			}
			if strings.Contains(string(packet), "rate_limited") {
				limited++
			}
		}
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	ended := false
	for !ended && time.Now().Before(end) {
		for i := range o.PerSecond / 100 {
			link.Send([]string{`42["jywsping"]`, `421["jywsping"]`}[i%2])
		}
		did.Sent += o.PerSecond / 100
		select {
		case <-closed:
			ended = true
		case <-tick.C:
		}
	}
	if ended {
		did.Closed++
		did.Longest = max(did.Longest, time.Since(opened))
	}
	link.Vanish()
	<-closed
	did.Limited += limited
	return nil
}

// floods starts a flooder. The function that it returns waits for its end.
func (town *town) floods(o floodOrder) (end func() flooded) {
	town.t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		town.t.Fatal(err)
	}
	cmd := exec.CommandContext(town.ctx, "nice", "-n", "19", os.Args[0])
	cmd.Env = append(os.Environ(), flooderVar+"="+string(text))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		town.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		town.t.Fatal(err)
	}
	return func() (did flooded) {
		town.t.Helper()
		err := json.NewDecoder(out).Decode(&did)
		if wait := cmd.Wait(); err != nil || wait != nil || did.Trouble != "" {
			town.t.Errorf("the flooder: %v, %v, %s", err, wait, did.Trouble)
		}
		return did
	}
}

// One client sends as many events as it can while others sit in rooms whose trees change.
func TestFlood(t *testing.T) {
	beside(t)
	c := begin(t, networkSection, "one socket sends 10,000 events a second, and comes back whenever it is closed")
	town := found(c, 1, func(*paces) settings {
		return settings{"conference.push_min_interval": "10ms", "socket.events_per_second": "20"} // as by default
	})
	size, order := map[string]int{}, []string{}
	for i := range rooms {
		order = append(order, fmt.Sprintf("room-%d", i))
		size[order[i]] = 4000
	}
	u := town.pulses(100*time.Millisecond, size, order...)
	people := town.gathers("p", storetest.Size(200, 40), visit{hear: u.hear})
	memory := town.nodes[0].peaks()
	var quiet, under []time.Duration
	var did flooded
	for range storetest.Size(3, 1) { // in turn, so that whatever else the machine does meets both
		quiet = append(quiet, u.p99(time.Duration(storetest.Size(8, 3))*time.Second))
		end := town.floods(floodOrder{town.nodes[0].base, 10_000, time.Duration(storetest.Size(14, 9)) * time.Second})
		under = append(under, u.p99(time.Duration(storetest.Size(13, 8))*time.Second))
		did.add(end())
	}
	before, peak := memory()
	c.says(did.Sent, "limited, then closed within 8s", fmt.Sprintf("%d answers said rate_limited; closed %d of %d times, the last to be after %v", did.Limited, did.Closed, did.Opened, did.Longest.Round(100*time.Millisecond)), did.Limited > 0 && did.Closed > 0 && did.Longest < 8*time.Second)
	c.feels(len(people), median(quiet), median(under))
	c.says(1, fmt.Sprintf("memory of the server flat (%d MiB breathe)", breath>>20), fmt.Sprintf("%.0f -> %.0f MiB", before/(1<<20), peak/(1<<20)), peak-before <= breath)
	c.none(len(people), len(people)-people.in(), "others dropped:")
}

func (f *flooded) add(more flooded) {
	f.Sent, f.Limited, f.Opened, f.Closed = f.Sent+more.Sent, f.Limited+more.Limited, f.Opened+more.Opened, f.Closed+more.Closed
	f.Longest = max(f.Longest, more.Longest)
}

func median(list []time.Duration) time.Duration {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}
