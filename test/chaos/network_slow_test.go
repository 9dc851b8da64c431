package chaos_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rollcall/internal/storetest"
)

// gate stops those who read through it while it is shut.
type gate struct{ sync.RWMutex }

// hear is a visit.hear that stops at a gate, and with it the whole client, heartbeat included.
func (g *gate) hear(*person, string, []json.RawMessage) {
	g.RLock()
	defer g.RUnlock()
}

// narrow makes connections on which the kernels of both ends hold little: small segments, which the buffer of the sender is
// reckoned in, and a small window. Over loopback they would take megabytes that no line outside does.
func narrow(network, address string) (net.Conn, error) {
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var segment, window error
		err := c.Control(func(fd uintptr) {
			segment = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536)
			window = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
		})
		return errors.Join(err, segment, window)
	}}
	return d.Dial(network, address)
}

// Clients stop reading while trees flow: of the trees only the latest waits for them. When more is sent to them than may wait
// they are closed. The others feel nothing, and all come back when they read again.
func TestSlowClients(t *testing.T) {
	beside(t)
	c := begin(t, networkSection, "clients stop reading while trees flow")
	budget := storetest.Size(1<<20, 256<<10)
	town := found(c, 1, func(p *paces) settings {
		p.pingTimeout = 2 * time.Minute                                                                       // that they are silent is not what they are closed for
		return settings{"socket.max_queue_bytes": fmt.Sprint(budget), "conference.push_min_interval": "10ms"} // or the room's size would be measured
	})
	n, size, order := town.nodes[0], map[string]int{"big": 50_000}, []string{}
	for i := range rooms {
		room := fmt.Sprintf("room-%d", i)
		size[room] = 2000
		order = append(order, "big", room)
	}
	u := town.pulses(time.Duration(storetest.Size(100, 200))*time.Millisecond, size, order...)
	honest := town.gathers("honest", storetest.Size(780, 70), visit{hear: u.hear})
	beside := town.gathers("beside", storetest.Size(20, 10), visit{conference: "big", hear: u.hear}) // in the room of those who stop
	half := storetest.Size(100, 10)
	others, stopped := len(honest)+len(beside), 2*half
	quiet := u.p99(time.Duration(storetest.Size(10, 3)) * time.Second)
	memory := n.peaks()

	var soon, late gate // shut before they come: a kernel that has seen a client read fast gives it a buffer of megabytes
	soon.Lock()
	resume := sync.OnceFunc(soon.Unlock)
	defer resume()
	late.Lock()
	thaw := sync.OnceFunc(late.Unlock)
	defer thaw()
	resuming := town.gathers("resuming", half, visit{conference: "big", hear: soon.hear, dials: narrow, returns: true})
	stuck := town.gathers("stuck", half, visit{conference: "big", hear: late.hear, dials: narrow, returns: true})
	flowed := beside.saw("note_tree")
	under := u.p99(time.Duration(storetest.Size(20, 8)) * time.Second)
	flowed = (beside.saw("note_tree") - flowed) / len(beside)
	resume()
	latest := town.waitsFor(20*time.Second, func() bool { return resuming.behind(beside) == 0 })
	got := resuming.saw("note_tree") / len(resuming)
	c.says(len(resuming), fmt.Sprintf("trees collapse: of %d that flowed at most half comes, the latest to everybody", flowed), fmt.Sprintf("%d came, %d have an old one", got, resuming.behind(beside)), latest && got <= flowed/2)
	c.none(stopped, stopped-resuming.in()-stuck.in(), "closed because of trees alone:")

	resuming.vanish() // their narrow lines cost the machine more than the service does

	var fed time.Duration
	pushed := town.overfeeds(n, stuck, func() { fed = u.p99(time.Duration(storetest.Size(20, 6)) * time.Second) })
	rest, peak := memory()
	bound := float64(2*len(stuck)*budget + breath) // the collector lets a heap double before it looks
	c.says(len(stuck), "closed when more waits than may", fmt.Sprintf("%d, by %d KiB each", int(n.metric("rollcall_slow_clients_total")), pushed>>10), int(n.metric("rollcall_slow_clients_total")) == len(stuck))
	c.says(len(stuck), fmt.Sprintf("memory of the server grows by no more than twice %d KiB each, and %d MiB", budget>>10, breath>>20), fmt.Sprintf("%.0f -> %.0f MiB", rest/(1<<20), peak/(1<<20)), peak-rest <= bound)
	thaw()
	back := town.waitsFor(30*time.Second, func() bool { return stuck.stays() == 2*len(stuck) && stuck.in() == len(stuck) })
	c.says(len(stuck), "stranded 0", fmt.Sprint(len(stuck)-stuck.in()), back)
	stuck.vanish()
	after := u.p99(time.Duration(storetest.Size(10, 3)) * time.Second)
	c.progress("p99 %v, while trees flow %v, while more is sent than may wait %v, afterwards %v", quiet, under, fed, after)
	c.feels(others, max(quiet, after), max(under, fed)) // what else the machine does must meet both
	c.none(others, others-honest.in()-beside.in(), "others dropped:")
}

// vanish lets all of them go without a word, for good.
func (c crowd) vanish() {
	for _, p := range c {
		p.vanish()
	}
}

// behind counts those whose tree is older than the newest that somebody of their room has.
func (c crowd) behind(room crowd) (n int) {
	var newest int64
	for _, p := range room {
		newest = max(newest, p.tree())
	}
	for _, p := range c {
		if p.tree() < newest {
			n++
		}
	}
	return n
}

// tree returns the version of the last tree that came.
func (p *person) tree() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.version
}

// overfeeds sends people more than may wait for each of them, each something of his own, until they are closed, while something
// else goes on. It returns how many bytes were sent to each.
func (town *town) overfeeds(n *node, people crowd, meanwhile func()) int {
	town.t.Helper()
	const portion = 50_000
	big := strings.Repeat("x", portion)
	var portions atomic.Int64
	done := make(chan error, 1)
	town.hands.Go(func() {
		tick := time.NewTicker(time.Second / 150)
		defer tick.Stop()
		var failed error
		for failed == nil && town.ctx.Err() == nil {
			if closed, err := n.reads("rollcall_slow_clients_total"); err != nil || int(closed) >= len(people) || portions.Load() > 100 {
				failed = err
				break
			}
			for _, p := range people {
				<-tick.C
				failed = errors.Join(failed, n.call(town.ctx, "POST", "/api/v1/push", map[string]any{"userIds": []string{p.user}, "message": big, "destination": "filler"}, nil))
			}
			portions.Add(1)
		}
		done <- failed
	})
	meanwhile()
	if err := <-done; err != nil {
		town.t.Fatal(err)
	}
	return int(portions.Load()) * portion
}
