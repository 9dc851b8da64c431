package clienttest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Options say how a client connects. The zero value of each is the client's own default unless it says otherwise.
type Options struct {
	URL            string // http://host:port
	Version        int    // 4 (default) or 2
	Path           string
	Query          map[string]string
	Auth           map[string]any // 4.x only
	Transports     []string       // "polling", "websocket"
	NoUpgrade      bool           // stay with the first transport
	Reconnect      bool           // come back after a loss; off by default
	ReconnectDelay time.Duration  // 100 ms by default
	Headers        map[string]string
	AutoAck        bool // acknowledge every event that asks for it at once, with no arguments
}

// Event is something that happened to a client: an event from the server, or a change of its connection.
type Event struct {
	Type      string            `json:"type"`      // event, connect, disconnect, connect_error, error, upgrade, reconnect
	Name      string            `json:"event"`     // of an event
	Args      []json.RawMessage `json:"args"`      // of an event
	Ack       int               `json:"ack"`       // of an event: not 0 if the server waits for Client.Answer
	SID       string            `json:"sid"`       // of connect
	Transport string            `json:"transport"` // of connect and upgrade
	Reason    string            `json:"reason"`    // of disconnect
	Message   string            `json:"message"`   // of connect_error and error
	Data      json.RawMessage   `json:"data"`      // of connect_error, what the server gave; of a 2.x error, all of it
	Cause     string            `json:"cause"`     // of connect_error: what the transport found, as the HTTP status
	Millis    int64             `json:"at"`        // since 1970, by the clock of this machine
}

// Time returns when the client saw it.
func (e Event) Time() time.Time { return time.UnixMilli(e.Millis) }

// Client is one Socket.IO client and the record of what happened to it. It is safe for concurrent use.
type Client struct {
	driver *Driver
	id     string

	mu      sync.Mutex // guards all below
	log     []Event
	seen    map[string]int // per kind of event, the index in log after the last one that a Wait returned
	changed chan struct{}  // closed and replaced when log grows
}

// Open makes a client and lets it connect; WaitConnect or WaitError tells what came of it.
func (d *Driver) Open(t testing.TB, o Options) *Client {
	t.Helper()
	c := &Client{driver: d, seen: map[string]int{}, changed: make(chan struct{})}
	d.mu.Lock()
	c.id = fmt.Sprint(len(d.clients) + 1)
	d.clients[c.id] = c
	d.mu.Unlock()
	args := map[string]any{"url": o.URL, "upgrade": !o.NoUpgrade, "reconnection": o.Reconnect, "autoAck": o.AutoAck}
	for key, set := range map[string]struct {
		set   bool
		value any
	}{
		"version":           {o.Version != 0, o.Version},
		"path":              {o.Path != "", o.Path},
		"query":             {o.Query != nil, o.Query},
		"auth":              {o.Auth != nil, o.Auth},
		"transports":        {o.Transports != nil, o.Transports},
		"reconnectionDelay": {o.ReconnectDelay != 0, o.ReconnectDelay.Milliseconds()},
		"extraHeaders":      {o.Headers != nil, o.Headers},
	} {
		if set.set {
			args[key] = set.value
		}
	}
	c.do(t, "open", args)
	return c
}

// Connect is Open and WaitConnect.
func (d *Driver) Connect(t testing.TB, o Options) *Client {
	t.Helper()
	c := d.Open(t, o)
	c.WaitConnect(t)
	return c
}

// Emit sends an event and does not wait for anything.
func (c *Client) Emit(t testing.TB, event string, args ...any) {
	t.Helper()
	c.do(t, "emit", map[string]any{"event": event, "args": notNil(args)})
}

// EmitAck sends an event and returns the arguments of the acknowledgement.
func (c *Client) EmitAck(t testing.TB, event string, args ...any) []json.RawMessage {
	t.Helper()
	return c.do(t, "emit", map[string]any{"event": event, "args": notNil(args), "ack": true, "timeout": patience.Milliseconds()}).Answer
}

// Answer acknowledges e, which came with an Ack.
func (c *Client) Answer(t testing.TB, e Event, args ...any) {
	t.Helper()
	c.do(t, "answer", map[string]any{"ack": e.Ack, "args": notNil(args)})
}

// Close disconnects as a page does that says good-bye.
func (c *Client) Close(t testing.TB) { t.Helper(); c.do(t, "close", nil) }

// Reopen connects again after Close, or after the server disconnected the client. 4.x only: a 2.x client that is
// opened while it still closes goes on closing.
func (c *Client) Reopen(t testing.TB) { t.Helper(); c.do(t, "connect", nil) }

// Abort destroys the connection without a closing handshake. A client opened with Reconnect comes back.
func (c *Client) Abort(t testing.TB) { t.Helper(); c.do(t, "abort", nil) }

// Freeze leaves the connection open and stops reading from it, so that pings stay unanswered. WebSocket only.
func (c *Client) Freeze(t testing.TB) { t.Helper(); c.do(t, "freeze", nil) }

// Thaw lets a frozen client read again.
func (c *Client) Thaw(t testing.TB) { t.Helper(); c.do(t, "thaw", nil) }

// Wait returns the first event of that name, after the one that the last Wait for this name returned, that match
// approves of; a nil match approves of any. It looks at what came already and waits up to 10 s for what is to come.
func (c *Client) Wait(t testing.TB, event string, match func(args []json.RawMessage) bool) Event {
	t.Helper()
	return c.wait(t, "event "+event, match)
}

// WaitConnect returns the next time the client got connected.
func (c *Client) WaitConnect(t testing.TB) Event { t.Helper(); return c.wait(t, "connect", nil) }

// WaitDisconnect returns the next time the client lost its connection, or was disconnected.
func (c *Client) WaitDisconnect(t testing.TB) Event { t.Helper(); return c.wait(t, "disconnect", nil) }

// WaitError returns the next connect_error, or for a 2.x client that the server refused the next error.
func (c *Client) WaitError(t testing.TB) Event { t.Helper(); return c.wait(t, "error", nil) }

// WaitUpgrade returns the next change of the transport.
func (c *Client) WaitUpgrade(t testing.TB) Event { t.Helper(); return c.wait(t, "upgrade", nil) }

// Events returns all events of that name so far, in order.
func (c *Client) Events(event string) []Event {
	return slices.DeleteFunc(c.Log(), func(e Event) bool { return e.kind() != "event "+event })
}

// Log returns everything that happened so far, in order.
func (c *Client) Log() []Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.log)
}

// kind is what wait counts by. Both refusals, of 4.x and of 2.x, are of one kind.
func (e Event) kind() string {
	switch e.Type {
	case "event":
		return "event " + e.Name
	case "connect_error":
		return "error"
	}
	return e.Type
}

func (c *Client) record(e Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = append(c.log, e)
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Client) wait(t testing.TB, kind string, match func(args []json.RawMessage) bool) Event {
	t.Helper()
	timeout := time.After(patience)
	for {
		e, ok, changed := c.find(kind, match)
		if ok {
			return e
		}
		select {
		case <-changed:
		case <-c.driver.done:
			t.Fatalf("waiting for %s: the driver has ended:\n%s", kind, c.driver.stderr.String())
		case <-timeout:
			t.Fatalf("no such %s within %v; what happened to the client:\n%s", kind, patience, c.story())
		}
	}
}

// find returns the next event of the kind that match approves of, or what to wait for.
func (c *Client) find(kind string, match func(args []json.RawMessage) bool) (e Event, ok bool, changed chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := c.seen[kind]; i < len(c.log); i++ {
		if e := c.log[i]; e.kind() == kind && (match == nil || match(e.Args)) {
			c.seen[kind] = i + 1
			return e, true, nil
		}
	}
	return Event{}, false, c.changed
}

// story tells the last things that happened to the client, for a test that failed.
func (c *Client) story() string {
	const last, width = 20, 300
	log := c.Log()
	var b strings.Builder
	for _, e := range log[max(0, len(log)-last):] {
		line := fmt.Sprintf("%s %s %s%s%s%s %s", e.Time().Format("15:04:05.000"), e.kind(), e.Transport, e.Reason, e.Message, e.Data, e.Args)
		fmt.Fprintf(&b, "  %.*s\n", width, line)
	}
	if len(log) == 0 {
		return "  nothing"
	}
	return b.String()
}

func (c *Client) do(t testing.TB, name string, args map[string]any) reply {
	t.Helper()
	if args == nil {
		args = map[string]any{}
	}
	args["id"] = c.id
	return c.driver.do(t, name, args)
}

// notNil keeps no arguments from becoming null in JSON.
func notNil(args []any) []any {
	if args == nil {
		return []any{}
	}
	return args
}
