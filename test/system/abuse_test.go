package system_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// fair is the p99 below which the honest have nothing to complain of, whatever it was before.
const fair = 20 * time.Millisecond

// One client abuses the service, in ways that need no luck and no knowledge, while 200 honest ones sit in a room whose tree changes
// ten times a second. The abuser is limited or closed, memory is bounded, and the honest get everything, about as fast as ever.
//
// Times are asserted only in make prove: without it all abusers come at the same time, to be brief.
func TestAbuse(t *testing.T) {
	s := launch(t, store.MySQL, settings{"build": "quick", "conference.push_min_interval": "10ms", "debug.pprof": "true"})
	honest := gather(t, s, storetest.Size(200, 50))
	descriptors := s.metric("rollcall_process_open_fds")
	orders := []order{
		{Kind: "flood", N: 10_000, For: 14 * time.Second},
		{Kind: "handshakes", N: storetest.Size(10_000, 300)},
		{Kind: "slow", N: storetest.Size(1_000, 100)},
		{Kind: "bodies", N: 16, For: time.Duration(storetest.Size(14, 4)) * time.Second},
	}
	if storetest.Proving() {
		for _, o := range orders {
			proveAbuse(t, honest, o)
		}
	} else {
		baseline := honest.p99(time.Second)
		ends := make([]func() deeds, len(orders))
		for i, o := range orders {
			ends[i] = s.abused(o)
		}
		under := honest.p99(11 * time.Second)
		for i, o := range orders {
			did := ends[i]()
			checkDeeds(t, o, did)
			t.Logf("%s: %s", o.Kind, did)
		}
		storetest.Show(t, "all abusers at once: p99 of the honest %v, and %v before; peak memory %d MiB", under.Round(time.Millisecond), baseline.Round(time.Millisecond),
			s.peak(t)>>20)
	}
	if most := int64(storetest.Size(600, 300)) << 20; s.peak(t) > most {
		t.Errorf("the server took %d MiB, allowed are %d", s.peak(t)>>20, most>>20)
	}
	// The pools towards MariaDB and Redis have filled meanwhile, with 20 each.
	storetest.EventuallyWithin(t, 60*time.Second, func() bool { return s.metric("rollcall_process_open_fds") <= descriptors+45 }, "descriptors did not come back")
	storetest.Eventually(t, func() bool { return s.metric("rollcall_sockets") == float64(len(honest.members)) }, "sockets of abusers are left")
	if panics := s.total("rollcall_panics_total"); panics > 0 {
		t.Errorf("%.0f panics", panics)
	}
}

// proveAbuse measures the honest without and with an abuse, in turn, so that whatever else the machine does meets both.
func proveAbuse(t *testing.T, honest *audience, o order) {
	const rounds = 3
	var quiet, abused []time.Duration
	var all []deeds
	var busy, idle float64
	s := honest.s
	s.forgetPeak()
	for range rounds {
		before := s.busy(t)
		quiet = append(quiet, honest.p99(8*time.Second))
		idle += (s.busy(t) - before) / rounds / 8
		end := s.abused(o)
		before = s.busy(t)
		abused = append(abused, honest.p99(14*time.Second))
		busy += (s.busy(t) - before) / rounds / 14
		did := end()
		checkDeeds(t, o, did)
		all = append(all, did)
		storetest.EventuallyWithin(t, 40*time.Second, func() bool { return s.metric("rollcall_sockets") == float64(len(honest.members)) }, "sockets of abusers are left")
	}
	base, under := median(quiet), median(abused)
	storetest.Show(t, "%s, %d rounds against a server without race detector, the abuser a process at low priority on the same 2 cores: "+
		"p99 of %d honest clients %v, and %v without it (allowed is the double, or %v); "+
		"the server was busy with %.2f cores, and %.2f without; its peak memory %d MiB; abuser: %s",
		o.Kind, rounds, len(honest.members), under.Round(100*time.Microsecond), base.Round(100*time.Microsecond), fair, busy, idle, s.peak(t)>>20, all[len(all)-1])
	if under > max(2*base, fair) {
		t.Errorf("%s: p99 %v under abuse, %v without; per round %v and %v", o.Kind, under, base, abused, quiet)
	}
}

func median(list []time.Duration) time.Duration {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// String implements fmt.Stringer.
func (d deeds) String() string {
	return fmt.Sprintf("%d opened, %d of them ended by the server, the last after %v (%d later than 13s), %d sent, %d answers of which %d said rate_limited, statuses %v, in %v", d.Opened,
		d.Closed, d.Longest.Round(100*time.Millisecond), d.Late, d.Sent, d.Answers, d.Limited, d.Statuses, d.Took.Round(100*time.Millisecond))
}

// abused starts an abuser. The function it returns waits for its end.
func (s *server) abused(o order) (end func() deeds) {
	s.t.Helper()
	o.Host = strings.TrimPrefix(s.base, "http://")
	text, err := json.Marshal(o)
	if err != nil {
		s.t.Fatal(err)
	}
	// An abuser has a machine of its own. Here it has what the others leave of this one, or its own work would be measured.
	cmd := exec.Command("nice", "-n", "19", os.Args[0])
	cmd.Env = append(os.Environ(), abuserVar+"="+string(text))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	return func() deeds {
		s.t.Helper()
		var did deeds
		if err := json.NewDecoder(out).Decode(&did); err != nil {
			s.t.Errorf("the abuser %s said nothing: %v", o.Kind, err)
		}
		if err := cmd.Wait(); err != nil {
			s.t.Errorf("the abuser %s: %v", o.Kind, err)
		}
		return did
	}
}

// checkDeeds checks that an abuser was stopped.
func checkDeeds(t *testing.T, o order, did deeds) {
	t.Helper()
	if did.Trouble != "" {
		t.Errorf("%s: %s", o.Kind, did.Trouble)
	}
	// Flood and timeouts end the rest after 5 s and 10 s. A handshake whose connect timeout meets its first heartbeat is, once in
	// thousands, ended by the timeout of that.
	bound := map[string]time.Duration{"flood": 8 * time.Second, "handshakes": 23 * time.Second, "slow": 15 * time.Second}[o.Kind]
	switch {
	case o.Kind == "flood" && (did.Closed < 1 || did.Limited == 0 || did.Sent < o.N):
		t.Errorf("the flood was not stopped: %s", did)
	case o.Kind == "bodies" && (did.Statuses[200] == 0 || did.Statuses[413] == 0 || did.Statuses[422]+did.Statuses[400] == 0):
		t.Errorf("the bodies were not told apart: %s", did)
	case (o.Kind == "handshakes" || o.Kind == "slow") && (did.Opened != o.N || did.Closed != o.N):
		t.Errorf("%s of %d were not all ended: %s", o.Kind, o.N, did)
	}
	if bound > 0 && (did.Longest > bound || did.Late > 1+o.N/1000) {
		t.Errorf("%s: one lasted %v, allowed are %v; %d were late", o.Kind, did.Longest, bound, did.Late)
	}
}

// busy is how many seconds of CPU the server has used.
func (s *server) busy(t *testing.T) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.proc.PID()))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:])) // the name may hold blanks
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100 // Linux counts in hundredths, whatever its clock
}

// peak is the most memory in bytes that the server ever had.
func (s *server) peak(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.proc.PID()))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// forgetPeak lets the peak begin anew, where the kernel allows it.
func (s *server) forgetPeak() {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.proc.PID()), []byte("5"), 0o200)
}
