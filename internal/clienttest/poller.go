package clienttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/gorilla/websocket"
)

// separator stands between the packets of one body of long-polling.
const separator = "\x1e"

// Poller is a bare client of Engine.IO 4 that begins with long-polling and may change to WebSocket. Next belongs to one
// goroutine, and so do Upgrade and Next together; Send may be called from any.
type Poller struct {
	Address string // of its polls: http://host:port/socket.io/?... with the sid

	client  *http.Client
	waiting []Packet // polled and not yet returned

	mu   sync.Mutex // guards wire
	wire *Wire      // nil before Upgrade
}

// DialPoller opens a session of long-polling and sends CONNECT.
func DialPoller(base string, query url.Values) (*Poller, error) {
	query.Set("EIO", "4")
	query.Set("transport", "polling")
	p := &Poller{Address: base + "/socket.io/?" + query.Encode(), client: &http.Client{Timeout: 2 * dialTimeout, Transport: &http.Transport{}}}
	packets, err := p.poll()
	if err != nil {
		return nil, err
	}
	var open struct{ Sid string }
	if len(packets) != 1 || packets[0][0] != '0' || json.Unmarshal(packets[0][1:], &open) != nil || open.Sid == "" {
		return nil, fmt.Errorf("the first poll was answered %q, not OPEN", packets)
	}
	p.Address += "&sid=" + url.QueryEscape(open.Sid)
	if err := p.Send("40"); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Poller) poll() ([]Packet, error) {
	resp, err := p.client.Get(p.Address)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &StatusError{resp.StatusCode, resp.Header}
	}
	var packets []Packet
	for text := range bytes.SplitSeq(body, []byte(separator)) {
		if len(text) > 0 {
			packets = append(packets, Packet(text))
		}
	}
	return packets, nil
}

// Next returns the next packet, whatever brings it, and answers it if it is a PING.
func (p *Poller) Next() (Packet, error) {
	for len(p.waiting) == 0 {
		if wire := p.upgraded(); wire != nil {
			return wire.Next(2 * dialTimeout)
		}
		packets, err := p.poll()
		if err != nil {
			return nil, err
		}
		p.waiting = packets
	}
	next := p.waiting[0]
	p.waiting = p.waiting[1:]
	if string(next) == "2" {
		if err := p.Send("3"); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// Until returns the packets up to the first that cond approves of.
func (p *Poller) Until(cond func(Packet) bool) (all []Packet, err error) {
	for {
		packet, err := p.Next()
		if err != nil {
			return all, err
		}
		if all = append(all, packet); cond(packet) {
			return all, nil
		}
	}
}

func (p *Poller) upgraded() *Wire {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wire
}

// Send sends packets, each with the digits of Engine.IO and Socket.IO in front.
func (p *Poller) Send(packets ...string) error {
	if wire := p.upgraded(); wire != nil {
		for _, packet := range packets {
			wire.Send(packet)
		}
		return nil
	}
	resp, err := p.client.Post(p.Address, "text/plain;charset=UTF-8", strings.NewReader(strings.Join(packets, separator)))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return &StatusError{resp.StatusCode, resp.Header}
	}
	return nil
}

// Upgrade changes to WebSocket as stock clients do: it probes while a poll runs, waits until that is answered, and switches.
func (p *Poller) Upgrade() error {
	d := websocket.Dialer{HandshakeTimeout: dialTimeout}
	conn, resp, err := d.Dial(p.WebSocketAddress(), nil)
	if err != nil {
		if resp != nil {
			return &StatusError{resp.StatusCode, resp.Header}
		}
		return err
	}
	wire := &Wire{Conn: conn}
	type answer struct {
		packets []Packet
		err     error
	}
	polled := make(chan answer, 1)
	go func() { // ends with the poll, which the answer to the probe ends
		packets, err := p.poll()
		polled <- answer{packets, err}
	}()
	wire.Send("2probe")
	probed, err := wire.Next(dialTimeout)
	last := <-polled
	switch {
	case err != nil:
	case string(probed) != "3probe":
		err = fmt.Errorf("the probe was answered %.100q", probed)
	default:
		err = last.err
	}
	if err != nil {
		wire.Vanish()
		return err
	}
	for _, packet := range last.packets {
		if string(packet) == "2" {
			if err := p.Send("3"); err != nil {
				wire.Vanish()
				return err
			}
			continue
		}
		p.waiting = append(p.waiting, packet)
	}
	p.mu.Lock()
	p.wire = wire
	p.mu.Unlock()
	wire.Send("5")
	return nil
}

// WebSocketAddress returns the address at which the session changes to WebSocket.
func (p *Poller) WebSocketAddress() string {
	return strings.Replace(strings.Replace(p.Address, "http", "ws", 1), "transport=polling", "transport=websocket", 1)
}

// Leave says goodbye and closes.
func (p *Poller) Leave() {
	_ = p.Send("41", "1") // whoever is gone already has nothing to say
	p.Vanish()
}

// Vanish closes the connections without a word; a session of long-polling goes on until its heartbeat fails.
func (p *Poller) Vanish() {
	if wire := p.upgraded(); wire != nil {
		wire.Vanish()
	}
	p.client.CloseIdleConnections()
}
