package socket

import (
	"bytes"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zishang520/socket.io/parsers/engine/v3/packet"
	"github.com/zishang520/socket.io/servers/engine/v3"
	socketio "github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"

	"rollcall/internal/auth"
	"rollcall/internal/hall"
	"rollcall/internal/presence"
	"rollcall/internal/rescue"
)

// farewell is how long a client that was disconnected for good may keep its connection. Stock clients close it at
// once when they are told.
const farewell = 10 * time.Second

// seat is one socket of this node, from its handshake to its end.
type seat struct {
	door *Door
	sock *socketio.Socket
	conn engine.Socket
	box  *outbox // nil, as in, on a transport that is none of ours
	in   *intake
	handshake
	ip    string
	lane  lane
	alias string // the tokenId of its last user_login; used in the lane only
	fresh limit  // of tokens that it shows; used in the lane only

	// What a token says of the user, without auth nothing; set before the first event, then used in the lane only.
	named    bool // userName is the token's
	role     string
	admitted auth.Conferences

	places []place // in rooms; the rooms' mu guards it

	acks     acks
	polite   atomic.Bool  // the client said that it leaves
	lastSign atomic.Int64 // when it was last heard of, in milliseconds since 1970

	mu      sync.Mutex // guards the rest; never held while calling another package
	gone    bool
	why     presence.Reason // why it is gone
	told    string          // what it was kicked for; "" if it was not
	who     person
	watched map[string]struct{} // conferences that a system client watches
	term    term
}

// person is who sits in a seat at present, and where.
type person struct {
	userID       string
	userName     string
	conferenceID string // "" for none
	sessionID    string // "" for nobody and for system clients: they have no session in the database
	// rosterVersion is the first version of the conference's roster with this session in it.
	rosterVersion int64
	elsewhere     int // sessions that the user had on other nodes when this one was opened
}

// newSeat makes a seat for a socket that asks to be let in.
func newSeat(d *Door, sock *socketio.Socket, h handshake, r *http.Request) *seat {
	s := &seat{door: d, sock: sock, conn: sock.Conn(), handshake: h, ip: d.Proxies.Address(r), lane: lane{net: d.Net}, fresh: newLimit(1, reauthsAtOnce)}
	if t, ok := s.conn.Transport().(carrier); ok {
		s.box, s.in = t.ends()
	}
	s.lastSign.Store(now())
	return s
}

// take listens for the end of the connection, before anything else is done: an end that comes while the socket is let
// in must not go unheard.
func (s *seat) take() {
	_ = s.conn.On("packet", func(args ...any) { s.attempt("packet", func() { s.onPacket(args...) }) })
	_ = s.conn.Once("close", func(...any) { s.attempt("close", s.over) })
	s.sock.SetData(s)
	if s.conn.ReadyState() == "closed" { // before we listened
		s.over()
	}
}

// attempt calls f. A panic in it ends the connection: the client comes back to a seat that is whole.
func (s *seat) attempt(work string, f func()) {
	if !s.door.Net.Call(work, f) {
		s.drop()
	}
}

// over is the end of the seat and of its connection.
func (s *seat) over() {
	s.end(presence.Lost)
	s.door.hall.release(s)
}

// onPacket sees every packet before the library does. The library may report a lost connection although the client
// had said goodbye, because it handles packets on another goroutine than the end of the connection.
func (s *seat) onPacket(args ...any) {
	s.lastSign.Store(now())
	p, ok := args[0].(*packet.Packet)
	if !ok || p.Type != packet.MESSAGE {
		return
	}
	text, ok := p.Data.(*types.StringBuffer)
	if !ok || text.Len() == 0 {
		return
	}
	switch b := text.Bytes(); {
	case len(b) == 1 && b[0] == '1': // Socket.IO DISCONNECT
		s.polite.Store(true)
	case b[0] == '3': // Socket.IO ACK
		s.acknowledged(b[1:])
	case b[0] == '6': // Socket.IO BINARY_ACK: the number of its attachments comes first
		_, rest, _ := bytes.Cut(b[1:], []byte("-"))
		s.acknowledged(rest)
	}
}

// socket describes the seat to other packages.
func (s *seat) socket() hall.Socket {
	who := s.person()
	return hall.Socket{
		SessionID: who.sessionID, UserID: who.userID, UserName: who.userName, ConferenceID: who.conferenceID,
		ClientType: s.clientType, DeviceID: s.deviceID, IP: s.ip, System: s.system,
	}
}

// sit records who is in the seat. It reports false if the socket is gone already; then whatever was opened for the
// person must be closed by the caller.
func (s *seat) sit(p person) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return false
	}
	s.who = p
	return true
}

// person returns who is in the seat.
func (s *seat) person() person {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.who
}

// isGone reports whether the seat has come to its end, and why.
func (s *seat) isGone() (bool, presence.Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone, s.why
}

// end is the end of the socket, whatever ended it. It may be called any number of times, from any goroutine; only the
// first counts.
func (s *seat) end(why presence.Reason) {
	if why == presence.Lost && s.polite.Load() {
		why = presence.Left
	}
	s.mu.Lock()
	first, who := !s.gone, s.who
	if first {
		s.gone, s.why = true, why
		if s.term.timer != nil {
			s.term.timer.Stop()
		}
	}
	s.mu.Unlock()
	if first && who.sessionID != "" {
		s.door.hall.unbind(who.sessionID)
		s.door.house.Leave(who.sessionID, why)
	}
}

// push queues a frame for the client.
func (s *seat) push(f *frame) verdict {
	if s.box == nil {
		return closed
	}
	return s.box.push(f)
}

// queue is push without a write, which flush does.
func (s *seat) queue(f *frame) verdict {
	if s.box == nil {
		return closed
	}
	return s.box.queue(f)
}

// flush has written what was queued.
func (s *seat) flush() {
	if s.box != nil {
		s.box.flush()
	}
}

// expel ends the seat for good: the client is told why and does not come back by itself.
//
// A socket that is only being let in hears of it as soon as it is; see Door.connected.
func (s *seat) expel(reason string, why presence.Reason) {
	s.mu.Lock()
	s.told = reason
	s.mu.Unlock()
	s.end(why)
	if s.sock.Connected() {
		s.dismiss()
	}
}

// dismiss sends home a client that is connected although its seat is gone.
func (s *seat) dismiss() {
	s.mu.Lock()
	reason := s.told
	s.mu.Unlock()
	if f, err := eventOf("kicked", map[string]string{"reason": reason}); err == nil && reason != "" {
		s.push(f)
	}
	s.sock.Disconnect(false)
	s.door.Net.After(farewell, "close after a farewell", s.drop)
}

// drop ends the connection but not the client's wish to be here: it comes back by itself.
func (s *seat) drop() { s.conn.Close(false) }

// lane runs the slow parts of a seat's events one after another, so that no handler blocks the library and no
// client keeps more than one of them busy.
type lane struct {
	net *rescue.Net

	mu      sync.Mutex // guards the rest
	waiting []func()
	running bool
}

// laneLength is how many slow events of one client may wait.
const laneLength = 32

// do runs f behind what waits. It reports false if too much does.
func (l *lane) do(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) >= laneLength {
		return false
	}
	l.waiting = append(l.waiting, f)
	if !l.running {
		l.running = true
		l.net.Go("lane", l.run)
	}
	return true
}

func (l *lane) run() {
	for f := l.next(); f != nil; f = l.next() {
		l.net.Call("lane", f)
	}
}

// next takes what waits longest, nil if nothing does; then the lane is at rest.
func (l *lane) next() func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.running = false
		return nil
	}
	f := l.waiting[0]
	l.waiting = l.waiting[1:]
	return f
}

func now() int64 { return time.Now().UnixMilli() }
