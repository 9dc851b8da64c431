package chaos_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"syscall"
	"time"

	"rollcall/internal/clienttest"
)

// visit says how somebody comes.
type visit struct {
	user, conference string
	to               func() []string // addresses, tried in turn as by a balancer; nil: those of all nodes
	returns          bool            // comes back by itself whenever the transport ends, as stock clients do
	query            [][2]string     // more of the handshake
	dials            dialer          // makes the TCP connection; nil: as usual

	// hear is told every event, by the person's own goroutine and before the person's counts change.
	hear func(p *person, event string, args []json.RawMessage)
}

// dialer makes a TCP connection, as net.Dial.
type dialer func(network, address string) (net.Conn, error)

// person is one client of a town. Methods are safe for concurrent use.
type person struct {
	visit
	town *town

	mu        sync.Mutex // guards the rest
	link      *clienttest.Wire
	in        bool           // a CONNECT was answered and nothing has ended it since
	ended     bool           // is gone for good
	why       error          // of the end of the last stay
	stayed    time.Duration  // how long that was
	stays     int            // CONNECTs that were answered
	failures  int            // handshakes that failed beside those that the balancer passed on
	count     map[string]int // events by name
	goneSeen  map[string]int // offline_notice by user
	version   int64          // of the last tree
	backwards int            // trees that were older than one before
	online    int            // as the last tree says
	changed   chan struct{}  // closed and replaced when something happened
	done      chan struct{}  // closed when the person's goroutine has ended
}

// people are those of a town.
type people struct {
	mu   sync.Mutex // guards list
	list []*person
}

func (all *people) add(p *person) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.list = append(all.list, p)
}

func (all *people) every() []*person {
	all.mu.Lock()
	defer all.mu.Unlock()
	return append([]*person(nil), all.list...)
}

// scatter takes every connection away, for good.
func (all *people) scatter() {
	for _, p := range all.every() {
		p.vanish()
	}
}

// key is who somebody is where.
type key struct{ conference, user string }

func (v visit) key() key { return key{v.conference, v.user} }

// at is the address of one node only.
func at(n *node) func() []string { return func() []string { return []string{n.base} } }

// enters lets somebody come and waits until the CONNECT was answered. It may be called from any goroutine.
func (town *town) enters(v visit) (*person, error) {
	if v.to == nil {
		v.to = town.addresses
	}
	p := &person{visit: v, town: town, count: map[string]int{}, goneSeen: map[string]int{}, version: -1, changed: make(chan struct{}), done: make(chan struct{})}
	town.people.add(p)
	if !town.hands.Go(p.live) {
		return nil, errors.New("the town is over")
	}
	if !p.wait(60*time.Second, func() bool { return p.stays > 0 || p.ended }) {
		return nil, fmt.Errorf("%s was not let in within 60 s", v.user)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stays == 0 {
		return nil, fmt.Errorf("%s was not let in: %w", v.user, p.why)
	}
	return p, nil
}

// live is the person's goroutine: one stay after another until the end.
func (p *person) live() {
	defer close(p.done)
	for attempt := 0; ; attempt++ {
		begun := time.Now()
		stayed, err := p.stay()
		if stayed {
			attempt = 0
		}
		p.mu.Lock()
		p.ended = p.ended || !p.returns || errors.Is(err, clienttest.ErrRefused)
		ended := p.ended
		p.why, p.stayed = err, time.Since(begun)
		p.happened()
		p.mu.Unlock()
		if ended || !p.town.waits(pauseBefore(attempt)) {
			return
		}
	}
}

// pauseBefore is that of socket.io-client between the end of a connection and its next attempt: 1 s, doubled up to 5 s, give or
// take a half.
func pauseBefore(attempt int) time.Duration {
	base := min(time.Second<<min(attempt, 4), 5*time.Second)
	return time.Duration(float64(base) * (0.5 + rand.Float64()))
}

// waits waits in a goroutine of the town; false when the town is over.
func (town *town) waits(d time.Duration) bool {
	ctx, cancel := context.WithTimeout(town.ctx, d)
	defer cancel()
	<-ctx.Done()
	return town.ctx.Err() == nil
}

// stay connects and reads until that ends. It reports whether the CONNECT was answered, and why it ended.
func (p *person) stay() (stayed bool, err error) {
	link, err := p.dial()
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.failures++
		return false, err
	}
	defer link.Vanish()
	p.mu.Lock()
	p.link = link
	if p.ended { // meanwhile
		p.mu.Unlock()
		return false, errors.New("ended while connecting")
	}
	p.mu.Unlock()
	for {
		packet, err := link.Next(link.SilentAfter)
		p.mu.Lock()
		stayed = stayed || p.in
		switch {
		case err == nil && packet.Refused():
			err = fmt.Errorf("%w: %s", clienttest.ErrRefused, packet[2:])
		case err == nil && packet.Disconnected():
			err = fmt.Errorf("%w: thrown out", clienttest.ErrRefused) // stock clients stay away then, too
		case err == nil && packet.Connected():
			p.in = true
			p.stays++
		}
		p.in = p.in && err == nil
		p.happened()
		p.mu.Unlock()
		if err != nil {
			return stayed, err
		}
		p.take(packet)
	}
}

// dial goes to the first address that does not refuse the connection and has room, as a balancer with a health check would send
// it there.
func (p *person) dial() (link *clienttest.Wire, err error) {
	err = errors.New("no node answers")
	for _, base := range p.to() {
		q := url.Values{"userId": {p.user}, "conferenceId": {p.conference}}
		for _, kv := range p.query {
			q.Set(kv[0], kv[1])
		}
		link, err = clienttest.DialWireBy(p.dials, base, q)
		status, _ := errors.AsType[*clienttest.StatusError](err)
		if err == nil || !errors.Is(err, syscall.ECONNREFUSED) && (status == nil || status.Status != http.StatusServiceUnavailable) {
			return link, err
		}
	}
	return nil, err
}

// take notes an event.
func (p *person) take(packet clienttest.Packet) {
	event, args, ok := packet.Event()
	if !ok {
		return
	}
	if p.hear != nil {
		p.hear(p, event, args)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count[event]++
	switch event {
	case "note_tree":
		var tree struct {
			Version  int64
			HeadData struct{ OnLineNumber int }
		}
		if len(args) > 0 && json.Unmarshal(args[0], &tree) == nil {
			if tree.Version < p.version {
				p.backwards++
			}
			p.version, p.online = tree.Version, tree.HeadData.OnLineNumber
		}
	case "offline_notice":
		var gone struct{ UserID string }
		if len(args) > 0 && json.Unmarshal(args[0], &gone) == nil {
			p.goneSeen[gone.UserID]++
		}
	}
	p.happened()
}

// happened wakes who waits. mu is held.
func (p *person) happened() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// wait waits until cond holds, which is asked with mu held whenever something has happened.
func (p *person) wait(most time.Duration, cond func() bool) bool {
	limit := time.After(most)
	for {
		p.mu.Lock()
		ok, changed := cond(), p.changed
		p.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-limit:
			return false
		}
	}
}

// seen returns how many events of a name came.
func (p *person) seen(event string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count[event]
}

// isIn reports whether the person is connected as far as it knows.
func (p *person) isIn() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.in
}

// ends marks the end and returns the connection to end, nil if there is none. mu is not held.
func (p *person) ends() *clienttest.Wire {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	return p.link
}

// leave says goodbye and stays away.
func (p *person) leave() {
	if link := p.ends(); link != nil {
		link.Leave()
	}
}

// vanish closes the connection without a word and stays away.
func (p *person) vanish() {
	if link := p.ends(); link != nil {
		link.Vanish()
	}
}

// drop closes the connection without a word. Who returns comes back.
func (p *person) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.link != nil {
		p.link.Vanish()
	}
}

// say sends an event that wants no answer.
func (p *person) say(event string, args ...any) error {
	text, err := json.Marshal(append([]any{event}, args...))
	if err != nil {
		return err
	}
	p.mu.Lock()
	link, in := p.link, p.in
	p.mu.Unlock()
	if !in {
		return errors.New("not connected")
	}
	link.Send("42" + string(text))
	return nil
}
