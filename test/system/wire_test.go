package system_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// wire is a bare Socket.IO client over WebSocket, for numbers at which Node would measure itself. It notes what a
// conference shows it.
type wire struct {
	conn *websocket.Conn

	writing sync.Mutex // one writer at a time

	mu        sync.Mutex // guards the rest
	connected bool
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
	if query.Get("EIO") == "" {
		query.Set("EIO", "4")
	}
	query.Set("transport", "websocket")
	connect, header := "40", http.Header{}
	if token := query.Get("token"); token != "" && query.Get("EIO") == "3" {
		header.Set("Authorization", "Bearer "+token)
	} else if token != "" {
		connect += `{"token":"` + token + `"}`
	}
	query.Del("token")
	d := websocket.Dialer{HandshakeTimeout: 30 * time.Second}
	conn, resp, err := d.Dial(strings.Replace(base, "http", "ws", 1)+"/socket.io/?"+query.Encode(), header)
	if err != nil {
		if resp != nil {
			return nil, fmt.Errorf("status %d: %w", resp.StatusCode, err)
		}
		return nil, err
	}
	w := &wire{conn: conn, count: map[string]int{}, last: map[string]json.RawMessage{}, version: -1, changed: make(chan struct{})}
	_ = conn.SetReadDeadline(time.Now().Add(60 * time.Second))
	if _, _, err := conn.ReadMessage(); err != nil { // OPEN
		conn.Close()
		return nil, err
	}
	if query.Get("EIO") == "3" {
		return w, nil // the server of a 2.x client connects the main namespace by itself
	}
	if err := conn.WriteMessage(websocket.TextMessage, []byte(connect)); err != nil {
		conn.Close()
		return nil, err
	}
	return w, nil
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
		_ = w.conn.SetReadDeadline(time.Now().Add(120 * time.Second))
		_, data, err := w.conn.ReadMessage()
		w.mu.Lock()
		if err != nil {
			w.err = err
		} else {
			w.take(data)
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
func (w *wire) take(data []byte) {
	switch {
	case string(data) == "2":
		w.send("3")
	case string(data) == "3":
		w.pongs++
	case strings.HasPrefix(string(data), "40"):
		w.connected = true
	case strings.HasPrefix(string(data), "44"):
		w.err = fmt.Errorf("refused: %s", data[2:])
	case strings.HasPrefix(string(data), "42"):
		var args []json.RawMessage
		event := bytes.TrimLeft(data[2:], "0123456789") // the number by which it would be acknowledged, which nobody here does
		if json.Unmarshal(event, &args) != nil || len(args) == 0 {
			return
		}
		var name string
		_ = json.Unmarshal(args[0], &name)
		w.count[name]++
		if len(args) > 1 {
			w.last[name] = args[1]
		}
		if name == "note_tree" {
			w.seeTree(args[1])
		}
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
func (w *wire) leave() {
	w.send("41")
	_ = w.conn.Close()
}

func (w *wire) vanish() { _ = w.conn.UnderlyingConn().Close() }

func (w *wire) send(packet string) {
	w.writing.Lock()
	defer w.writing.Unlock()
	_ = w.conn.WriteMessage(websocket.TextMessage, []byte(packet))
}
