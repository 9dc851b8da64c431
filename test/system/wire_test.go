package system_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"rollcall/internal/clienttest"
)

// wire is a bare Socket.IO client over WebSocket, for numbers at which Node would measure itself. It notes what a
// conference shows it.
type wire struct {
	link *clienttest.Wire
	conn *websocket.Conn // of link

	mu        sync.Mutex // guards the rest
	connected bool
	answers   int // to events of ours that wanted one
	pongs     int // answers to heartbeats of our own
	err       error
	count     map[string]int
	last      map[string]json.RawMessage // the newest payload by event
	version   int64                      // of the last tree
	online    int                        // as the last tree says
	backwards int                        // how often a version was older than one seen before
	changed   chan struct{}              // closed and replaced when something arrives
}

// dial connects and sends CONNECT at once when OPEN has come. A token in the query is not sent there: it goes where a client
// of that version puts it.
func dial(base string, query url.Values) (*wire, error) {
	link, err := clienttest.DialWire(base, query)
	if err != nil {
		return nil, err
	}
	return &wire{link: link, conn: link.Conn, count: map[string]int{}, last: map[string]json.RawMessage{}, version: -1, changed: make(chan struct{})}, nil
}

// join dials as a user of a conference, reads in the background, and waits until the CONNECT was answered.
func join(base, user, conference string, more ...string) (*wire, error) {
	q := url.Values{"userId": {user}, "conferenceId": {conference}}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	w, err := dial(base, q)
	if err != nil {
		return nil, err
	}
	go w.read()
	if !w.wait(60*time.Second, func() bool { return w.connected || w.err != nil }) {
		w.conn.Close()
		return nil, errors.New("the CONNECT was not answered")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.connected {
		return nil, w.err
	}
	return w, nil
}

func (w *wire) read() {
	for {
		p, err := w.link.Next(120 * time.Second)
		w.mu.Lock()
		if err != nil {
			w.err = err
		} else {
			w.take(p)
		}
		close(w.changed)
		w.changed = make(chan struct{})
		w.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// take notes one packet. mu is held.
func (w *wire) take(p clienttest.Packet) {
	switch {
	case string(p) == "3":
		w.pongs++
	case p.Connected():
		w.connected = true
	case strings.HasPrefix(string(p), "43"):
		w.answers++
		w.last["answer"] = json.RawMessage(p)
	case p.Refused():
		w.err = fmt.Errorf("refused: %s", p[2:])
	}
	name, args, ok := p.Event()
	if !ok {
		return
	}
	w.count[name]++
	if len(args) > 0 {
		w.last[name] = args[0]
	}
	if name == "note_tree" && len(args) > 0 {
		w.seeTree(args[0])
	}
}

func (w *wire) seeTree(tree json.RawMessage) {
	var t struct {
		Version  int64
		HeadData struct{ OnLineNumber int }
	}
	if json.Unmarshal(tree, &t) != nil {
		return
	}
	if t.Version <= w.version {
		w.backwards++
	}
	w.version, w.online = t.Version, t.HeadData.OnLineNumber
}

// wait waits until cond holds, which is asked with mu held whenever something has arrived.
func (w *wire) wait(most time.Duration, cond func() bool) bool {
	limit := time.After(most)
	for {
		w.mu.Lock()
		ok, changed := cond(), w.changed
		w.mu.Unlock()
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

// leave says goodbye and closes; vanish does neither.
func (w *wire) leave() { w.link.Leave() }

func (w *wire) vanish() { w.link.Vanish() }

func (w *wire) send(packet string) { w.link.Send(packet) }

// ask sends an event and returns the packet with its answer. Nothing else may be asked meanwhile.
func (w *wire) ask(event string, arg any) (string, error) {
	text, err := json.Marshal([]any{event, arg})
	if err != nil {
		return "", err
	}
	w.mu.Lock()
	before := w.answers
	w.mu.Unlock()
	w.send("421" + string(text))
	if !w.wait(10*time.Second, func() bool { return w.answers > before || w.err != nil }) {
		return "", errors.New(event + " was not answered")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.last["answer"]), w.err
}
