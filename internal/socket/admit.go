package socket

import (
	"context"
	"log/slog"
	"time"

	socketio "github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"

	"rollcall/internal/conference"
	"rollcall/internal/fault"
	"rollcall/internal/id"
	"rollcall/internal/presence"
	"rollcall/internal/tracing"
)

// admitTimeout bounds how long a socket may wait to be let in.
const admitTimeout = 10 * time.Second

// admit is the library's middleware: it decides whether a socket comes in. It returns at once; what takes time goes on
// in a goroutine, and the CONNECT is answered when that calls next.
func (d *Door) admit(sock *socketio.Socket, next func(*socketio.ExtendedError)) {
	if !d.Net.Call("receive a socket", func() { d.receive(sock, next) }) {
		sock.Conn().Close(false)
	}
}

func (d *Door) receive(sock *socketio.Socket, next func(*socketio.ExtendedError)) {
	r := sock.Request().Request()
	q := r.URL.Query()
	h, err := readHandshake(q)
	claim, token := claimed(sock), ""
	if err == nil && d.Tokens != nil {
		token, err = d.credential(claim, r, q)
	}
	s := newSeat(d, sock, h, r)
	if !d.hall.claim(s) { // no client of good will sends a second CONNECT
		s.drop()
		return
	}
	s.take()
	if err != nil {
		d.refuse(s, next, err)
		return
	}
	d.waiting.Add(1)
	taken := d.entering.Go(func() {
		defer d.Net.Catch("let a socket in")
		defer d.waiting.Add(-1)
		s.attempt("let a socket in", func() { d.let(s, token, next) })
	})
	if !taken {
		d.waiting.Add(-1)
		d.refuse(s, next, errClosing)
	}
}

var (
	errClosing = fault.New(fault.Unavailable, "draining", "this node is about to stop")
	errCrowded = fault.New(fault.Unavailable, "crowded", "too many sockets wait to be let in")
)

// let opens the session of a seat and lets the library go on.
func (d *Door) let(s *seat, token string, next func(*socketio.ExtendedError)) {
	ctx, span := d.Tracer.Start(context.Background(), "arrive")
	defer span.End()
	span.Set(tracing.Conference, s.conferenceID)
	p, err := d.personFor(ctx, s, token)
	if err != nil {
		span.Fail(err)
		d.refuse(s, next, err)
		return
	}
	d.seatPerson(s, p)
	d.metrics.connects.WithLabelValues("admitted").Inc()
	if s.box != nil {
		s.box.hold() // see connected
	}
	next(nil)
	span.Note("answered")
}

// personFor finds out who wants to sit in a seat, and opens his session if he is to have one.
func (d *Door) personFor(ctx context.Context, s *seat, token string) (person, error) {
	if d.Tokens != nil {
		if err := d.identify(s, token); err != nil {
			return person{}, err
		}
	}
	switch {
	case !s.system && s.userID != "":
		return d.openSession(ctx, s, s.conferenceID)
	case !s.system:
		return person{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	if err := d.mayWatch(ctx, s.userID, s.admitted, s.conferenceID); err != nil {
		return person{}, err
	}
	return person{userID: s.userID, userName: s.userName}, nil
}

// openSession opens a session for the user of a seat in a conference, or in none.
func (d *Door) openSession(ctx context.Context, s *seat, conferenceID string) (p person, err error) {
	pass, err := s.pass(conferenceID)
	if err != nil {
		return person{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	session := presence.Session{
		ID: id.New(), ConferenceID: conferenceID, UserID: s.userID, UserName: s.userName, NameTrusted: s.named, Role: s.role,
		ClientType: s.clientType, DeviceID: s.deviceID, IP: s.ip, OpenedAt: time.Now(),
	}
	d.hall.bind(session.ID, s)
	defer func() {
		if p.sessionID == "" {
			d.hall.unbind(session.ID)
			if err == nil { // a panic: nobody knows how far it came
				d.house.Leave(session.ID, presence.Lost)
			}
		}
	}()
	arrival, err := d.house.Arrive(ctx, session, pass)
	if err != nil {
		return person{}, err
	}
	return person{userID: s.userID, userName: arrival.UserName, conferenceID: conferenceID, sessionID: session.ID, rosterVersion: arrival.RosterVersion, elsewhere: arrival.Elsewhere}, nil
}

// seatPerson puts a person into a seat. If the seat has come to its end meanwhile, the person's session is closed as
// that end would have done, and the answer is false.
func (d *Door) seatPerson(s *seat, p person) bool {
	if s.sit(p) {
		return true
	}
	if p.sessionID != "" {
		_, why := s.isGone()
		d.hall.unbind(p.sessionID)
		d.house.Leave(p.sessionID, why)
	}
	return false
}

// refuse turns a socket away: for good with a CONNECT_ERROR, for now by closing its transport.
func (d *Door) refuse(s *seat, next func(*socketio.ExtendedError), err error) {
	f := fault.Of(err)
	s.end(presence.Lost)
	if f.Kind == fault.Unavailable || f.Kind == fault.Internal {
		if d.rarely.Again("let in") { // thousands knock again and again while whoever has to be asked is away
			d.Log.Warn("could not let a socket in", slog.String("user", s.userID), slog.String("conference", s.conferenceID), slog.Any("error", err))
		}
		d.metrics.connects.WithLabelValues("unavailable").Inc()
		s.drop()
		next(nil) // the library sees that the connection is closed and forgets the socket
		return
	}
	d.metrics.connects.WithLabelValues("refused").Inc()
	message, detail := words(f.Code), f.Message
	if s.conn.Protocol() != 3 {
		next(socketio.NewExtendedError(message, map[string]any{"code": f.Code, "detail": detail}))
		return
	}
	// A 2.x client does not go away by itself after an error; left alone it would be closed by the connect timeout
	// and come back for ever. So it is sent a DISCONNECT as well. Both are queued from within the socket's own queue,
	// which finishes what it holds when the library closes it.
	s.later(func() {
		next(socketio.NewExtendedError(message, map[string]any{"message": message, "code": f.Code, "detail": detail}))
		s.later(func() { s.conn.Send(types.NewStringBufferString("1"), nil, nil) })
	})
}

// later runs f in the socket's own queue.
func (s *seat) later(f func()) { s.sock.Enqueue(func() { s.attempt("refuse a socket", f) }) }

// words says what a refusal means in plain words.
func words(code string) string {
	known := map[string]string{
		"bad_user_id": "the userId is not valid", "bad_conference_id": "the conferenceId is not valid", "bad_client_type": "the clientType or deviceId is not valid",
		"unknown_conference": "there is no such conference", "conference_ended": "the conference has ended", "duplicate_session": "this user is connected already",
		"unauthorized": "who you are could not be verified", "forbidden": "you may not enter",
	}
	if w, ok := known[code]; ok {
		return w
	}
	return "the connection was refused"
}

// connected is called when a socket is in. It is registered before anything is sent, and its last line finds out
// whether the connection ended while the library was not looking.
func (d *Door) connected(args ...any) {
	sock, ok := args[0].(*socketio.Socket)
	if !ok {
		return
	}
	s, ok := sock.Data().(*seat)
	if !ok {
		sock.Disconnect(true)
		return
	}
	s.attempt("welcome a socket", s.begin)
}

// begin brings a seat that is in to where it belongs.
func (s *seat) begin() {
	d := s.door
	if s.box != nil {
		// The library sends CONNECT a moment before it knows the socket by its namespace, and closes the connection of a
		// client whose first event comes between the two. So the client hears of it only now.
		s.box.release()
	}
	s.lighten()
	_ = s.sock.On("disconnect", func(...any) { s.attempt("disconnect", func() { s.end(presence.Lost) }) })
	s.sock.OnAny(func(args ...any) { s.attempt("event", func() { s.dispatch(args...) }) })
	who := s.person()
	d.welcome(s, who)
	s.enter(who)
	if who.conferenceID != "" {
		d.show(s, who.conferenceID)
	}
	if s.system {
		s.beginWatching()
	}
	if who.sessionID != "" {
		d.messages.Arrived(s.socket()) // in the rooms first; see seat.move
	}
	d.limitSessions(s, who)
	if s.conn.ReadyState() != "open" {
		s.over()
	}
	if gone, _ := s.isGone(); gone {
		s.dismiss()
	}
}

// lighten lets go of what the library keeps of a request that has become a WebSocket and was read to its end. A polling session may
// still be answering its first one.
func (s *seat) lighten() {
	if c, ok := s.conn.(*session); ok {
		c.lighten()
		*s.sock.Handshake() = socketio.Handshake{}
	}
}

// beginWatching lets a system client see the conference that it named, if it named one, and asks once more whether it may be
// here: whoever was to be sent out in the meantime was in no room yet. Asking takes its time, so no handler of ours waits for it.
func (s *seat) beginWatching() {
	if s.conferenceID != "" {
		s.watch(s.conferenceID)
	}
	if s.door.Tokens == nil {
		return
	}
	s.lane.do(func() { // before any event
		s.attempt("look who may watch", func() {
			ctx, cancel := context.WithTimeout(context.Background(), admitTimeout)
			defer cancel()
			err := s.door.mayWatch(ctx, s.userID, s.admitted, s.conferenceID)
			switch {
			case err == nil:
			case fault.Is(err, fault.Forbidden):
				s.expel("kicked", presence.Kicked)
			default:
				s.drop() // it comes back, and is asked again
			}
		})
	})
}

// limitSessions ends the sockets of a user that are too many now that s is there.
func (d *Door) limitSessions(s *seat, who person) {
	if who.sessionID == "" {
		return
	}
	extra, more := d.hall.excess(who.userID, d.MaxSessionsPerUser-who.elsewhere, s)
	for _, e := range extra {
		e.expel(manySessions, presence.Kicked)
	}
	if more == 0 || who.elsewhere == 0 {
		return
	}
	d.entering.Go(func() {
		defer d.Net.Catch("limit sessions of other nodes")
		ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
		defer cancel()
		if err := d.house.LimitElsewhere(ctx, who.userID, more, manySessions); err != nil && d.rarely.Again("limit sessions") {
			d.Log.Warn("could not end sessions of a user on other nodes", slog.String("user", who.userID), slog.Any("error", err))
		}
	})
}

// manySessions is what a socket is told that had to make room for a newer one of its user.
const manySessions = "too_many_sessions"

// welcome greets a newcomer. It comes before he is in any room, so that nothing is said to him earlier.
func (d *Door) welcome(s *seat, who person) {
	f, err := eventOf("welcome", struct {
		SessionID       string `json:"sessionId"`
		UserID          string `json:"userId"`
		UserName        string `json:"userName"`
		ConferenceID    string `json:"conferenceId"`
		NodeID          string `json:"nodeId"`
		ServerTime      int64  `json:"serverTime"`
		MaxPayload      int    `json:"maxPayload"`
		EventsPerSecond int    `json:"eventsPerSecond"`
	}{who.sessionID, who.userID, who.userName, who.conferenceID, d.NodeID, now(), d.MaxPayload, d.EventsPerSecond})
	if err != nil {
		d.Log.Error("could not encode welcome", slog.Any("error", err))
		return
	}
	s.push(f)
}

// show pushes the snapshot of a conference to a seat that has joined its room.
func (d *Door) show(s *seat, conferenceID string) {
	snap, ok := d.house.Welcome(conferenceID)
	if !ok {
		return // the first snapshot is being made; it is pushed to the room
	}
	d.showSnapshot(s, conferenceID, snap)
}

func (d *Door) showSnapshot(s *seat, conferenceID string, snap conference.Snapshot) {
	tree, err := treeFrame(conferenceID, snap.TreeVersion, snap.Tree)
	if err != nil {
		d.Log.Error("could not encode a tree", slog.Any("error", err))
		return
	}
	s.push(tree)
	if snap.RosterVersion < s.person().rosterVersion {
		return // made before he arrived; the one with him in it follows
	}
	roster, err := rosterFrame(conferenceID, "presence_state", snap.RosterVersion, snap.Roster)
	if err != nil {
		d.Log.Error("could not encode a roster", slog.Any("error", err))
		return
	}
	s.push(roster)
}
