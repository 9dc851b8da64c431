package socket

import (
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/zishang520/socket.io/parsers/engine/v3/packet"
	"github.com/zishang520/socket.io/servers/engine/v3"
	"github.com/zishang520/socket.io/servers/engine/v3/transports"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// revision is the engine of one revision of the protocol. Polling, and what is upgraded from it, is the library's business; a session
// that begins as a WebSocket is ours.
type revision struct {
	engine.Server
	lines *lines
	spent *types.HttpContext // stands for the request of a session that has let go of it
}

func newRevision(e engine.Server, l *lines) *revision {
	spent := types.NewHttpContext(&response{own: http.Header{}, over: true}, &http.Request{URL: &url.URL{}})
	spent.Flush()
	return &revision{e, l, spent}
}

// ServeHTTP implements http.Handler.
func (v *revision) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if websocket.IsWebSocketUpgrade(r) && r.Method == http.MethodGet && q.Get("transport") == transports.WEBSOCKET && q.Get("sid") == "" {
		v.begin(w, r)
		return
	}
	v.Server.ServeHTTP(w, r)
}

// begin upgrades a request to a WebSocket and begins a session on it.
func (v *revision) begin(w http.ResponseWriter, r *http.Request) {
	up := websocket.Upgrader{
		ReadBufferSize: engine.DefaultWSReadBufferSize, WriteBufferSize: engine.DefaultWSWriteBufferSize,
		Error: func(w http.ResponseWriter, _ *http.Request, _ int, _ error) { // as the library says it
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"code":3,"message":"Bad request"}`)
		},
	}
	upgraded, err := up.Upgrade(w, r, nil)
	if err != nil {
		return // it was answered
	}
	ctx := types.NewHttpContext(w, r)
	t := newWebSocket(v.lines, upgraded.NetConn(), ctx)
	t.box, t.in = v.lines.newEnds(t)
	s := &session{listeners: listeners{net: v.lines.net, list: make([]listener, 0, usualListeners)}, revision: v, t: t, id: v.GenerateId(ctx), address: r.RemoteAddr}
	s.state.Store(stateOpen)
	s.request.Store(ctx)
	t.session = s
	t.SetSid(s.id)
	v.Clients().Store(s.id, s)
	s.open()
	v.Emit("connection", s)
}

// usualListeners is how many there are of a session: three of the library's, two of the seat's.
const usualListeners = 5

// The states of a session, by the library's names.
const (
	stateOpen    = "open"
	stateClosing = "closing"
	stateClosed  = "closed"
)

// session implements the engine's socket for a connection that is a WebSocket from its first to its last moment. The library's has a
// goroutine that waits for the next heartbeat, a dozen listeners more, queues that stay empty, and the request with all that hangs on it.
type session struct {
	listeners
	revision *revision
	t        *webSocket
	id       string
	address  string
	request  atomic.Pointer[types.HttpContext]
	state    types.Atomic[string]
	beat     *time.Timer // nil: the client is who pings
}

// open tells the client what it has to know.
func (s *session) open() {
	text, err := json.Marshal(struct {
		Sid          string   `json:"sid"`
		Upgrades     []string `json:"upgrades"`
		PingInterval int64    `json:"pingInterval"`
		PingTimeout  int64    `json:"pingTimeout"`
		MaxPayload   int64    `json:"maxPayload"`
	}{s.id, []string{}, s.revision.lines.interval.Milliseconds(), s.revision.lines.timeout.Milliseconds(), s.revision.lines.maxPayload})
	if err != nil { // there is nothing in it that cannot be encoded
		s.OnClose("encode error")
		return
	}
	s.t.box.push(newFrame(append([]byte("0"), text...), false))
	if s.Protocol() > 3 { // before, clients ping
		s.beat = s.revision.lines.net.After(never, "heartbeat", s.ping) // ping sets it again, and so must find it
		s.beat.Reset(s.revision.lines.interval)
	}
}

const never = time.Duration(math.MaxInt64)

// pingPacket is the same for everybody.
var pingPacket = newFrame([]byte("2"), false)

func (s *session) ping() {
	if s.ReadyState() != stateOpen {
		return
	}
	s.t.box.push(pingPacket)
	s.beat.Reset(s.revision.lines.interval)
}

// lighten lets go of the request. Nobody reads it after a socket was let in.
func (s *session) lighten() { s.request.Store(s.revision.spent) }

// onPacket handles a packet of the client.
func (s *session) onPacket(p *packet.Packet) {
	if p == nil || s.ReadyState() != stateOpen {
		return
	}
	s.Emit("packet", p)
	switch p.Type {
	case packet.PING:
		if s.Protocol() > 3 {
			s.OnClose("transport error")
			return
		}
		s.send(packet.PONG, nil, nil)
	case packet.PONG:
		if s.Protocol() == 3 {
			s.OnClose("transport error")
		}
	case packet.ERROR:
		s.OnClose("parse error")
	case packet.MESSAGE:
		s.Emit("data", p.Data)
	}
}

// OnClose is the end of the session. It may be called any number of times.
func (s *session) OnClose(reason string) {
	if s.state.Swap(stateClosed) == stateClosed {
		return
	}
	if s.beat != nil {
		s.beat.Stop()
	}
	s.t.Close()
	s.revision.Clients().Delete(s.id)
	s.Emit("close", reason, nil)
}

// send sends a packet. The outbox is the only queue that there is.
func (s *session) send(kind packet.Type, data io.Reader, sent engine.SendCallback) engine.Socket {
	if s.ReadyState() != stateOpen {
		return s
	}
	s.t.Send([]*packet.Packet{{Type: kind, Data: data}})
	if sent != nil {
		sent(s.t)
	}
	return s
}

// Send implements engine.Socket.
func (s *session) Send(data io.Reader, _ *packet.Options, sent engine.SendCallback) engine.Socket {
	return s.send(packet.MESSAGE, data, sent)
}

// Write implements engine.Socket.
func (s *session) Write(data io.Reader, _ *packet.Options, sent engine.SendCallback) engine.Socket {
	return s.send(packet.MESSAGE, data, sent)
}

// Close implements engine.Socket. With discard also a session that is closing already is closed again.
func (s *session) Close(discard bool) {
	if !s.state.CompareAndSwap(stateOpen, stateClosing) && (!discard || s.ReadyState() != stateClosing) {
		return
	}
	if discard {
		s.t.Discard()
	}
	s.t.Close(func() { s.OnClose("forced close") })
}

// Construct implements engine.Socket.
func (s *session) Construct(string, engine.BaseServer, transports.Transport, *types.HttpContext, int) {
}

// MaybeUpgrade implements engine.Socket. The engine asks Upgraded before.
func (s *session) MaybeUpgrade(t transports.Transport) { t.Close() }

// Upgraded implements engine.Socket: there is nothing better to upgrade to.
func (s *session) Upgraded() bool { return true }

// Upgrading implements engine.Socket.
func (s *session) Upgrading() bool { return false }

// SetReadyState implements engine.Socket.
func (s *session) SetReadyState(state string) { s.state.Store(state) }

// ReadyState implements engine.Socket.
func (s *session) ReadyState() string { return s.state.Load() }

// Protocol implements engine.Socket.
func (s *session) Protocol() int { return s.t.Protocol() }

// Request implements engine.Socket.
func (s *session) Request() *types.HttpContext { return s.request.Load() }

// RemoteAddress implements engine.Socket.
func (s *session) RemoteAddress() string { return s.address }

// Transport implements engine.Socket.
func (s *session) Transport() transports.Transport { return s.t }

// Id implements engine.Socket.
func (s *session) Id() string { return s.id }

var _ engine.Socket = (*session)(nil)
