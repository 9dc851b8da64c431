package chaos_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/clienttest"
	"rollcall/internal/storetest"
)

// counting sends numbers to everybody, one after another, from which each client sees whether it lost one.
type counting struct {
	town *town
	stop chan struct{}
	done chan struct{}
}

func (town *town) counts() *counting {
	k := &counting{town, make(chan struct{}), make(chan struct{})}
	town.hands.Go(func() {
		defer close(k.done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for i := 1; ; i++ {
			select {
			case <-tick.C:
			case <-k.stop:
				return
			case <-town.ctx.Done():
				return
			}
			if err := town.nodes[0].call(town.ctx, "POST", "/api/v1/push/all", map[string]any{"message": map[string]int{"number": i}, "destination": "count"}, nil); err != nil && town.ctx.Err() == nil {
				town.t.Errorf("send a number: %v", err)
				return
			}
		}
	})
	return k
}

func (k *counting) end() { close(k.stop); <-k.done }

// numbers are those that a client saw.
type numbers struct{ seen, last, wrong int }

// hears counts a packet. A number that does not follow the one before was lost, doubled or overtaken.
func (s *numbers) hears(p clienttest.Packet) {
	event, args, ok := p.Event()
	if !ok || event != "count" || len(args) == 0 {
		return
	}
	var told struct{ Number int }
	if json.Unmarshal(args[0], &told) != nil || s.seen > 0 && told.Number != s.last+1 {
		s.wrong++
	}
	s.seen, s.last = s.seen+1, told.Number
}

// polls is a client of long-polling that was let in.
func (town *town) polls(base string, i int) (*clienttest.Poller, error) {
	p, err := clienttest.DialPoller(base, url.Values{"userId": {fmt.Sprintf("poller-%d", i)}, "conferenceId": {fmt.Sprintf("room-%d", i%rooms)}})
	if err != nil {
		return nil, err
	}
	_, err = p.Until(clienttest.Packet.Connected)
	return p, err
}

// listens reads until a client has heard so many numbers more and an answer to an event that it sends meanwhile.
func (s *numbers) listens(p *clienttest.Poller, more int) error {
	question := s.seen + 1
	want := s.seen + more
	if err := p.Send(fmt.Sprintf(`42%d["jywsping"]`, question)); err != nil {
		return err
	}
	answer, answered := fmt.Sprintf(`43%d[`, question), false
	packets, err := p.Until(func(packet clienttest.Packet) bool {
		s.hears(packet)
		answered = answered || strings.HasPrefix(string(packet), answer)
		return answered && s.seen >= want
	})
	if err != nil {
		return fmt.Errorf("after %d packets, %d numbers: %w", len(packets), s.seen, err)
	}
	return nil
}

// outcome adds up what happened to many clients.
type outcome struct {
	mu          sync.Mutex // guards the rest
	t           *testing.T
	seen, wrong int
	troubled    []error
}

func (o *outcome) note(s numbers, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen, o.wrong = o.seen+s.seen, o.wrong+s.wrong
	if err != nil {
		if o.troubled = append(o.troubled, err); len(o.troubled) <= 5 {
			o.t.Log(err)
		}
	}
}

// rows adds the rows of n clients.
func (o *outcome) rows(c *trial, n int) {
	c.t.Helper()
	c.says(o.seen, "events lost, doubled or out of order 0", fmt.Sprint(o.wrong), o.wrong == 0)
	c.none(n, len(o.troubled), "clients that failed:")
}

// Clients that stay with long-polling get what others get.
func TestPollingOnly(t *testing.T) {
	beside(t)
	c := begin(t, networkSection, "polling only")
	town := found(c, 1, nil)
	k, o, n := town.counts(), outcome{t: t}, storetest.Size(200, 16)
	parallel(n, n, func(i int) {
		var s numbers
		p, err := town.polls(town.nodes[0].base, i)
		for range 3 {
			if err == nil {
				err = s.listens(p, 30)
			}
		}
		if p != nil {
			p.Leave()
		}
		o.note(s, err)
	})
	k.end()
	o.rows(c, n)
	town.gone(c, n)
}

// gone adds the row that nobody is left.
func (town *town) gone(c *trial, n int) {
	c.t.Helper()
	town.settles(town.paces.pingInterval + town.paces.pingTimeout + town.paces.grace + 10*time.Second)
	left := town.waitsFor(20*time.Second, func() bool { return town.sockets() == 0 })
	c.says(n, "ghosts 0", fmt.Sprintf("%d sockets, %d rows", town.sockets(), town.count("SELECT COUNT(*) FROM presence WHERE state <> 'offline'")), left)
}

// Clients change from polling to WebSocket while events flow to them.
func TestUpgrades(t *testing.T) {
	beside(t)
	c := begin(t, networkSection, "polling, then upgrade")
	town := found(c, 1, nil)
	k, o, n := town.counts(), outcome{t: t}, storetest.Size(2000, 40)
	parallel(n, 8, func(i int) {
		o.note(town.upgradesOver(town.nodes[0].base, i))
	})
	k.end()
	o.rows(c, n)
	town.gone(c, n)
}

// steps are the moments of an upgrade at which it is given up.
var steps = []string{"half a request", "a request whose answer nobody reads", "opened", "half a probe", "a probe whose answer nobody reads", "probed", "half of the packet that switches", "switched"}

// givesUp goes the way of an upgrade up to a step, and closes the connection there, by a reset or in good order.
func givesUp(p *clienttest.Poller, step int, reset bool) error {
	address, err := url.Parse(p.WebSocketAddress())
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp", address.Host)
	if err != nil {
		return err
	}
	defer conn.Close()
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", address.RequestURI(), address.Host)
	frame := func(text string) string { return string([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}) + text }
	send := func(text string) { _, e := io.WriteString(conn, text); err = errors.Join(err, e) }
	if step == 0 {
		send(request[:len(request)/2])
		return err
	}
	send(request)
	if step == 1 {
		return err
	}
	r := bufio.NewReader(conn)
	resp, e := http.ReadResponse(r, nil)
	if err = errors.Join(err, e); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("an upgrade was answered %d", resp.StatusCode)
	}
	probe, change := frame("2probe"), frame("5")
	switch step {
	case 3:
		send(probe[:len(probe)/2])
	case 4, 5, 6, 7:
		send(probe)
	}
	if step >= 5 {
		answer := make([]byte, 8) // a frame of the server: two bytes, and 3probe
		if _, e := io.ReadFull(r, answer); e != nil || string(answer[2:]) != "3probe" {
			return fmt.Errorf("the probe was answered %q: %w", answer, e)
		}
	}
	switch step {
	case 6:
		send(change[:len(change)-1])
	case 7:
		send(change)
	}
	return err
}

// Upgrades are given up at every step. Before the client has said that it switches, its polling goes on as if nothing had been, and
// another upgrade works; afterwards the connection is over, and nobody is left of it.
func TestUpgradeInterrupted(t *testing.T) {
	beside(t)
	c := begin(t, networkSection, "upgrade interrupted at each step, by a close or a reset")
	town := found(c, 1, nil)
	k, o, n := town.counts(), outcome{t: t}, storetest.Size(1600, 48)
	var over atomic.Int64
	parallel(n, 8, func(i int) {
		var s numbers
		step, reset := i%len(steps), i/len(steps)%2 == 0
		p, err := town.polls(town.nodes[0].base, i)
		if err == nil {
			err = s.listens(p, 2)
		}
		if err == nil {
			err = givesUp(p, step, reset)
		}
		if err == nil && step == len(steps)-1 {
			for err == nil { // what was on its way may come yet
				_, err = p.Next()
			}
			if status, ok := errors.AsType[*clienttest.StatusError](err); ok && status.Status == http.StatusBadRequest {
				over.Add(1)
				err = nil
			}
			o.note(s, err)
			return
		}
		if err == nil {
			err = s.listens(p, 3)
		}
		if err == nil {
			err = p.Upgrade()
		}
		if err == nil {
			err = s.listens(p, 3)
		}
		if p != nil {
			p.Leave()
		}
		if err != nil {
			err = fmt.Errorf("given up at %q, reset %v: %w", steps[step], reset, err)
		}
		o.note(s, err)
	})
	k.end()
	o.rows(c, n)
	c.says(n/len(steps), "who had switched is told that the session is over", fmt.Sprint(over.Load()), int(over.Load()) == n/len(steps))
	town.gone(c, n)
}
