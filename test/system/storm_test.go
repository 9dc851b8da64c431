package system_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// storm is everything that many bad and a few good clients send to one server.
type storm struct {
	t       *testing.T
	s       *server
	host    string
	seed    uint64
	locked  bool // auth.mode jwt
	limited bool // floods are closed, so that a closed connection proves nothing
	client  *http.Client
	visits  atomic.Uint64
	sent    atomic.Int64
	links   sync.WaitGroup // listeners of links

	mu        sync.Mutex // guards the rest
	kinds     map[string]int
	statuses  map[int]int
	faults    []string
	late      int      // connections closed by timeouts because everything took too long
	sids      []string // of sessions that are or were, for others to use
	abandoned []*link  // open, but nobody says anything more
	tokens    map[string]string
}

// stormTimeout is how long a client may take for CONNECT, upgrade and heartbeats, short so that nobody has to wait for the dead.
const stormTimeout = 4 * time.Second

// stormSeed is the seed of all that is random, from ROLLCALL_TEST_SEED or else new. A failure tells it.
func stormSeed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("ROLLCALL_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("read ROLLCALL_TEST_SEED: %v", err)
		}
	}
	t.Logf("ROLLCALL_TEST_SEED=%d", seed)
	return seed
}

// A million packets that a grammar builds, good, bad and damaged, meet the running program from many connections at once, while
// an honest client goes in and out. The program must live, say nothing but its own lines, answer nothing with 5xx, keep the
// connections of the well-behaved, and be as small afterwards as before.
func TestPacketStorm(t *testing.T) {
	seed := stormSeed(t)
	quick := settings{"log.format": "json", "debug.pprof": "true", "auth.cookie_name": "rollcall", "presence.grace": "1s", "socket.connect_timeout": stormTimeout.String(),
		"socket.upgrade_timeout": stormTimeout.String(),
		"socket.ping_interval":   "1s", "socket.ping_timeout": stormTimeout.String(), "socket.eio3_ping_interval": "1s", "socket.eio3_ping_timeout": stormTimeout.String()}
	for _, part := range []struct {
		name, dialect string
		packets       int
		more          settings
	}{
		{"open", store.MySQL, storetest.Size(600_000, 16_000), settings{"socket.events_per_second": "100000"}},
		{"limited", store.SQLite, storetest.Size(150_000, 5_000), settings{"log.level": "debug"}},
		{"locked", store.MySQL, storetest.Size(250_000, 9_000), settings{"auth": "jwt", "socket.events_per_second": "100000"}},
	} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel() // much of the time is waiting for the database and for timers
			all := settings{}
			for _, some := range []settings{quick, part.more} {
				for k, v := range some {
					all[k] = v
				}
			}
			if storetest.Proving() {
				all["build"] = "quick" // a million packets are too many for the race detector, which looks on in every other run
			}
			s := launch(t, part.dialect, all)
			w := &storm{t: t, s: s, host: strings.TrimPrefix(s.base, "http://"), seed: seed, locked: part.more["auth"] == "jwt", limited: part.name == "limited",
				kinds: map[string]int{}, statuses: map[int]int{}, tokens: map[string]string{}}
			w.client = &http.Client{Timeout: patient, Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}
			w.rage(int64(part.packets))
		})
	}
}

// size is what a process takes.
type size struct{ goroutines, descriptors, heap, resident float64 }

// measured is the size of the server once it has collected its garbage.
func (s *server) measured() size {
	s.t.Helper()
	s.must("GET", "/debug/pprof/heap?gc=1", nil, nil)
	return size{s.metric("rollcall_go_goroutines"), s.metric("rollcall_process_open_fds"), s.metric("rollcall_go_memstats_heap_inuse_bytes"),
		s.metric("rollcall_process_resident_memory_bytes")}
}

// rage sends that many packets and looks at what they have done.
func (w *storm) rage(packets int64) {
	w.t.Helper()
	honest := w.honest()
	w.until(packets / 5)
	w.calm()
	before := w.s.measured()
	w.until(packets)
	rounds, slowest := honest()
	w.calm()
	var after size
	storetest.EventuallyWithin(w.t, 90*time.Second, func() bool {
		after = w.s.measured()
		return after.goroutines <= before.goroutines+20 && after.descriptors <= before.descriptors+10 && after.heap <= before.heap*1.3+8<<20
	}, "goroutines, descriptors or heap did not return to what they were after a fifth")
	if after.resident > before.resident*1.5+64<<20 {
		w.t.Errorf("the process has %.0f MiB, and had %.0f after a fifth", after.resident/(1<<20), before.resident/(1<<20))
	}
	panics := w.s.total("rollcall_panics_total") + w.s.total("rollcall_http_panics_total") + w.s.total("rollcall_socket_panics_total")
	if panics > 0 {
		w.t.Errorf("%.0f panics", panics)
	}
	w.onlyOwnLines()
	if most := int(w.visits.Load() / 20); storetest.Proving() && w.late > most {
		w.t.Errorf("%d connections of good manners timed out, allowed are %d", w.late, most)
	}
	for _, fault := range w.faults {
		w.t.Errorf("ROLLCALL_TEST_SEED=%d: %s", w.seed, tail(fault, 8000))
	}
	storetest.Show(w.t, "%d packets in %d visits (%s), %.0f of them taken as events; HTTP statuses %v; 0 panics, 0 answers of 5xx (501 and 505 are net/http's, to what is no request); "+
		"an honest client went in, spoke and left %d times meanwhile, the slowest in %v; %d connections timed out because the machine was too slow; "+
		"goroutines %.0f -> %.0f, descriptors %.0f -> %.0f, heap in use %.1f -> %.1f MiB, resident %.0f -> %.0f MiB between a fifth of the packets and all",
		w.sent.Load(), w.visits.Load(), counted(w.kinds), w.s.total("rollcall_client_events_total"), w.statuses, rounds, slowest.Round(time.Millisecond), w.late,
		before.goroutines, after.goroutines, before.descriptors, after.descriptors, before.heap/(1<<20), after.heap/(1<<20), before.resident/(1<<20), after.resident/(1<<20))
}

// until lets clients visit until that many packets were sent in all.
func (w *storm) until(packets int64) {
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for w.sent.Load() < packets && !w.hopeless() {
				w.visit(w.visits.Add(1))
			}
		})
	}
	all.Wait()
}

// hopeless reports whether enough was found.
func (w *storm) hopeless() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.faults) >= 5
}

func (w *storm) visit(number uint64) {
	v := &visit{storm: w, number: number, grammar: newGrammar(w.seed, number, nil)}
	if w.locked {
		v.token = v.anyToken
	}
	ways := []struct {
		name string
		do   func()
		of   int
	}{
		{"polite", v.polite, 25}, {"polls", v.polls, 8}, {"wild", v.wild, 34}, {"frames", v.frames, 10}, {"clumsy", v.clumsy, 8}, {"upgrades", v.upgrades, 5},
		{"handshakes", v.handshakes, 4}, {"requests", v.requests, 6},
	}
	n := v.IntN(100)
	for _, way := range ways {
		if n -= way.of; n < 0 {
			v.name = way.name
			way.do()
			return
		}
	}
}

// calm waits until nobody is there, those included who went away without a word.
func (w *storm) calm() {
	w.t.Helper()
	w.client.CloseIdleConnections()
	gone := make(chan bool)
	go func() { w.links.Wait(); close(gone) }()
	select {
	case <-gone: // the server has closed what was abandoned
	case <-time.After(60 * time.Second):
		w.t.Errorf("ROLLCALL_TEST_SEED=%d: the server did not close all connections on which nobody spoke any more", w.seed)
	}
	w.mu.Lock()
	for _, l := range w.abandoned {
		_ = l.Close()
	}
	w.abandoned = nil
	w.mu.Unlock()
	w.s.nobodyIsLeft(w.t)
}

// honest lets one client go in, speak and leave over and over. The function it returns ends that, and returns how often it
// was and how long the longest took.
func (w *storm) honest() (end func() (rounds int, slowest time.Duration)) {
	stop, done := make(chan bool), make(chan bool)
	var rounds int
	var slowest time.Duration
	go func() {
		defer close(done)
		for {
			begin := time.Now()
			if err := w.round(rounds); err != nil && !w.overtaxed(time.Since(begin)) {
				w.found(fmt.Sprintf("the honest client, round %d: %v", rounds, err))
				return
			}
			rounds, slowest = rounds+1, max(slowest, time.Since(begin))
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return func() (int, time.Duration) { close(stop); <-done; return rounds, slowest }
}

// round is one stay of the honest client.
func (w *storm) round(n int) error {
	c, err := join(w.s.base, "honest", "quiet", w.bearing("honest")...)
	if err != nil {
		return err
	}
	defer c.leave()
	if !c.wait(patient, func() bool { return c.version >= 0 && c.count["presence_state"] > 0 }) {
		return fmt.Errorf("no tree or roster came")
	}
	said := fmt.Sprintf(`"round %d"`, n)
	c.send(`42["chat message",` + said + `]`)
	if !c.wait(patient, func() bool { return string(c.last["chat message"]) == said }) {
		return fmt.Errorf("what it said did not come back")
	}
	var tree struct{ Version int64 }
	req, err := http.NewRequest("GET", w.s.base+"/api/v1/conferences/quiet/tree", nil)
	if err != nil {
		return err
	}
	if w.s.key != "" {
		req.Header.Set("Authorization", "Bearer "+w.s.key)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&tree); err != nil || resp.StatusCode != http.StatusOK || tree.Version < 1 {
		return fmt.Errorf("GET tree answered %d, version %d: %v", resp.StatusCode, tree.Version, err)
	}
	return nil
}

// onlyOwnLines checks that whatever was written to the log is one JSON object a line: nothing prints by itself.
func (w *storm) onlyOwnLines() {
	w.t.Helper()
	for i, line := range strings.Split(strings.TrimSpace(w.s.logged()), "\n") {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry["msg"] == nil {
			w.t.Errorf("line %d of the log is no entry: %q", i+1, tail(line, 500))
			return
		}
	}
}

// total is a metric summed over its labels, 0 if there is none.
func (s *server) total(name string) float64 {
	s.t.Helper()
	var text string
	s.call("GET", "/metrics", nil, &text)
	var sum float64
	for _, line := range strings.Split(text, "\n") {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		if v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64); err == nil {
			sum += v
		}
	}
	return sum
}

// counted is a map of numbers as text, the largest first.
func counted(m map[string]int) string {
	keys := sorted(m)
	slices.SortStableFunc(keys, func(a, b string) int { return m[b] - m[a] })
	for i, k := range keys {
		keys[i] = fmt.Sprintf("%s %d", k, m[k])
	}
	return strings.Join(keys, ", ")
}
