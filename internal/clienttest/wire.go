package clienttest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// dialTimeout bounds the handshake of a Wire up to OPEN.
const dialTimeout = 30 * time.Second

// StatusError is an HTTP answer to the handshake of a Wire that is not the one that opens a WebSocket.
type StatusError struct {
	Status int
	Header http.Header
}

// Error says which status it was.
func (e *StatusError) Error() string {
	return fmt.Sprintf("the handshake was answered with status %d", e.Status)
}

// Wire is a bare Socket.IO client over WebSocket, for numbers at which Node would measure itself. One goroutine may read
// while others send.
type Wire struct {
	Conn        *websocket.Conn
	SilentAfter time.Duration // as OPEN says: a stock client that hears nothing for so long gives its connection up

	writing sync.Mutex // one writer at a time
}

// DialWire connects and sends CONNECT at once when OPEN has come. A token in the query is not sent there: it goes where a
// client of that version puts it.
func DialWire(base string, query url.Values) (*Wire, error) { return DialWireBy(nil, base, query) }

// DialWireBy is DialWire over a TCP connection that dial makes; nil is net.Dial.
func DialWireBy(dial func(network, address string) (net.Conn, error), base string, query url.Values) (*Wire, error) {
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
	// Frames to clients are small and many clients share a process, so buffers are small too.
	d := websocket.Dialer{NetDial: dial, HandshakeTimeout: dialTimeout, ReadBufferSize: 2048, WriteBufferSize: 512}
	conn, resp, err := d.Dial(strings.Replace(base, "http", "ws", 1)+"/socket.io/?"+query.Encode(), header)
	if err != nil {
		if resp != nil {
			return nil, &StatusError{resp.StatusCode, resp.Header}
		}
		return nil, err
	}
	w := &Wire{Conn: conn}
	if err := w.open(query.Get("EIO") != "3", connect); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return w, nil
}

// open reads OPEN, and answers it unless the server of a 2.x client connects the main namespace by itself.
func (w *Wire) open(answers bool, connect string) error {
	_ = w.Conn.SetReadDeadline(time.Now().Add(2 * dialTimeout))
	_, data, err := w.Conn.ReadMessage()
	if err != nil {
		return err
	}
	var said struct{ PingInterval, PingTimeout int64 }
	if len(data) == 0 || data[0] != '0' || json.Unmarshal(data[1:], &said) != nil {
		return fmt.Errorf("the first packet is %.100q, not OPEN", data)
	}
	w.SilentAfter = time.Duration(said.PingInterval+said.PingTimeout) * time.Millisecond
	if !answers {
		return nil
	}
	return w.Conn.WriteMessage(websocket.TextMessage, []byte(connect))
}

// ErrRefused is what a CONNECT that was answered with a refusal ends with; stock clients do not try again then.
var ErrRefused = errors.New("refused")

// Next reads a packet, for so long at most, and answers it if it is a PING.
func (w *Wire) Next(most time.Duration) (Packet, error) {
	_ = w.Conn.SetReadDeadline(time.Now().Add(most))
	_, data, err := w.Conn.ReadMessage()
	if err != nil {
		return nil, err
	}
	p := Packet(data)
	if string(p) == "2" {
		w.Send("3")
	}
	return p, nil
}

// Admitted reads until the CONNECT is answered, for so long at most for each packet before it. A refusal is ErrRefused.
func (w *Wire) Admitted(most time.Duration) error {
	for {
		p, err := w.Next(most)
		switch {
		case err != nil:
			return err
		case p.Connected():
			return nil
		case p.Refused():
			return fmt.Errorf("%w: %s", ErrRefused, p[2:])
		}
	}
}

// Send writes a packet as it is, such as `42["leave"]`. That it failed, the reader hears too.
func (w *Wire) Send(packet string) {
	w.writing.Lock()
	defer w.writing.Unlock()
	_ = w.Conn.WriteMessage(websocket.TextMessage, []byte(packet))
}

// Leave says goodbye and closes.
func (w *Wire) Leave() {
	w.Send("41")
	_ = w.Conn.Close()
}

// Vanish closes without a word.
func (w *Wire) Vanish() { _ = w.Conn.UnderlyingConn().Close() }

// Packet is what the server sent, with the digits of Engine.IO and Socket.IO in front.
type Packet []byte

// Connected reports whether the packet admits the client.
func (p Packet) Connected() bool { return bytes.HasPrefix(p, []byte("40")) }

// Refused reports whether the packet refuses the client for good.
func (p Packet) Refused() bool { return bytes.HasPrefix(p, []byte("44")) }

// Disconnected reports whether the packet ends the client for good.
func (p Packet) Disconnected() bool { return bytes.HasPrefix(p, []byte("41")) }

// Event returns name and arguments of an event. The number by which it would be acknowledged is left out.
func (p Packet) Event() (name string, args []json.RawMessage, ok bool) {
	if !bytes.HasPrefix(p, []byte("42")) {
		return "", nil, false
	}
	if json.Unmarshal(bytes.TrimLeft(p[2:], "0123456789"), &args) != nil || len(args) == 0 || json.Unmarshal(args[0], &name) != nil {
		return "", nil, false
	}
	return name, args[1:], true
}
