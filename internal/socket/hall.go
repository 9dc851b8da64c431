package socket

import (
	"cmp"
	"encoding/json"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	socketio "github.com/zishang520/socket.io/servers/socket/v3"

	"rollcall/internal/conference"
	"rollcall/internal/hall"
	"rollcall/internal/message"
	"rollcall/internal/presence"
)

// Hall is where the sockets of this node sit, and the one way to say something to them. It implements
// conference.Hall. Safe for concurrent use; no method waits for a socket.
type Hall struct {
	rooms *rooms
	log   *slog.Logger
	asked atomic.Uint32 // the last number under which an acknowledgement was asked for; see nextNumber

	mu       sync.Mutex       // guards the rest
	sessions map[string]*seat // by session, from before it is opened until it is closed
	conns    map[string]*seat // by connection, from its first CONNECT until it is closed
}

// NewHall returns an empty hall.
func NewHall(log *slog.Logger) *Hall {
	h := &Hall{rooms: newRooms(), log: log, sessions: map[string]*seat{}, conns: map[string]*seat{}}
	h.asked.Store(rand.Uint32())
	return h
}

// nextNumber returns the number of the next acknowledgement. They begin anywhere: a client that answers late does so on
// the connection that it has by then, where a hall that began at 1 as well may have asked it for something else under
// that number. They stay below 2^31, because some clients read them as 32 bits with a sign.
func (h *Hall) nextNumber() uint64 { return uint64(h.asked.Add(1) & math.MaxInt32) }

// claim takes the only place of a connection for s. A second CONNECT on one connection finds it taken, also after the
// first socket has left.
func (h *Hall) claim(s *seat) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conns[s.conn.Id()] != nil {
		return false
	}
	h.conns[s.conn.Id()] = s
	return true
}

// release gives the place back when the connection is closed.
func (h *Hall) release(s *seat) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conns[s.conn.Id()] == s {
		delete(h.conns, s.conn.Id())
	}
}

// holder returns who has the place of a connection, nil if nobody.
func (h *Hall) holder(connection string) *seat {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.conns[connection]
}

// bind makes s findable by a session that is about to be opened for it: whoever ends the session the moment it is
// committed must find it. unbind is the reverse.
func (h *Hall) bind(sessionID string, s *seat) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sessions[sessionID] = s
}

func (h *Hall) unbind(sessionID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, sessionID)
}

// Sockets returns how many connections have asked to come in and are open.
func (h *Hall) Sockets() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.conns)
}

func (h *Hall) seats() []*seat {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]*seat, 0, len(h.conns))
	for _, s := range h.conns {
		list = append(list, s)
	}
	return list
}

// Occupancy implements conference.Hall.
func (h *Hall) Occupancy(conferenceID string) int { return h.rooms.size(conferenceRoom(conferenceID)) }

// find returns the seats of an audience, each once.
func (h *Hall) find(to hall.Audience) []*seat {
	var candidates []*seat
	switch {
	case to.All && to.ConferenceID != "":
		candidates = h.rooms.in(conferenceRoom(to.ConferenceID))
	case to.All:
		candidates = h.rooms.in(everybody)
	case to.Lobby:
		candidates = h.rooms.in(lobby)
	default:
		candidates = h.named(to)
	}
	except := make(map[string]bool, len(to.Except))
	for _, user := range to.Except {
		except[user] = true
	}
	kept := candidates[:0]
	for _, s := range candidates {
		if s.belongs(to, except) {
			kept = append(kept, s)
		}
	}
	return kept
}

// named returns the seats of an audience's users, aliases and sessions.
func (h *Hall) named(to hall.Audience) []*seat {
	var list []*seat
	seen := map[*seat]bool{}
	add := func(seats ...*seat) {
		for _, s := range seats {
			if !seen[s] {
				seen[s] = true
				list = append(list, s)
			}
		}
	}
	for _, user := range to.Users {
		add(h.rooms.in(userRoom(user))...)
	}
	for _, alias := range to.Aliases {
		add(h.rooms.in(aliasRoom(alias))...)
	}
	for _, id := range to.Sessions {
		if s := h.session(id); s != nil {
			add(s)
		}
	}
	return list
}

// belongs reports whether nothing in an audience leaves s out. except are its Except.
func (s *seat) belongs(to hall.Audience, except map[string]bool) bool {
	who := s.person()
	switch {
	case except[who.userID] && !s.system:
		return false
	case to.ExceptOf != "" && who.sessionID == to.ExceptOf:
		return false
	case len(to.ClientTypes) > 0 && !slices.Contains(to.ClientTypes, s.clientType):
		return false
	}
	return to.All || to.ConferenceID == "" || who.conferenceID == to.ConferenceID
}

// Find implements conference.Hall.
func (h *Hall) Find(to hall.Audience) []hall.Socket { return sockets(h.find(to)) }

func sockets(seats []*seat) []hall.Socket {
	list := make([]hall.Socket, 0, len(seats))
	for _, s := range seats {
		list = append(list, s.socket())
	}
	return list
}

// Emit implements message.Hall.
func (h *Hall) Emit(to hall.Audience, name string, args ...json.RawMessage) []hall.Socket {
	f, err := event(name, args...)
	if err != nil {
		h.log.Error("could not encode an event", slog.Any("error", err))
		return nil
	}
	return h.hand(to, func(s *seat) verdict { return s.push(f) })
}

// EmitAll implements conference.Hall. A socket gets what is for it in one write.
func (h *Hall) EmitAll(events []hall.Event) {
	told := map[*seat]struct{}{}
	defer func() {
		for s := range told {
			s.flush()
		}
	}()
	for _, e := range events {
		f, err := event(e.Name, e.Args...)
		if err != nil {
			h.log.Error("could not encode an event", slog.Any("error", err))
			continue
		}
		for _, s := range h.find(e.To) {
			s.queue(f)
			told[s] = struct{}{}
		}
	}
}

// hand pushes to the seats of an audience and returns those that took it. A seat that is about to close takes nothing:
// its user is not reached.
func (h *Hall) hand(to hall.Audience, push func(*seat) verdict) []hall.Socket {
	seats := h.find(to)
	return sockets(slices.DeleteFunc(seats, func(s *seat) bool { return push(s) == closed }))
}

// EmitAcked implements message.Hall.
func (h *Hall) EmitAcked(to hall.Audience, noticeID, name string, args ...json.RawMessage) []hall.Socket {
	number := h.nextNumber() // the same for all receivers, so that the frame is encoded once
	f, err := askedEvent(number, name, args...)
	if err != nil {
		h.log.Error("could not encode an event", slog.Any("error", err))
		return nil
	}
	return h.hand(to, func(s *seat) verdict {
		s.expect(number, noticeID) // first: the answer may be there before push returns
		return s.push(f)
	})
}

// End implements conference.Hall.
func (h *Hall) End(to hall.Audience, reason string) int {
	ended := 0
	for _, s := range h.find(to) {
		if to.All && s.system { // it watches many conferences, of which this is one
			s.unwatch(to.ConferenceID)
			continue
		}
		s.expel(reason, presence.Kicked)
		ended++
	}
	h.blind(to)
	return ended
}

// blind lets the system clients of an audience's users see no more of its conference. Where nobody is asked who he is,
// whom they belong to means nothing.
func (h *Hall) blind(to hall.Audience) {
	if to.ConferenceID == "" {
		return
	}
	for _, user := range to.Users {
		for _, s := range h.rooms.in(userRoom(user)) {
			if s.system && s.door.Tokens != nil {
				s.unwatch(to.ConferenceID)
			}
		}
	}
}

// Holds implements conference.Hall.
func (h *Hall) Holds(sessionID string) bool { return h.session(sessionID) != nil }

// EndSession implements conference.Hall.
func (h *Hall) EndSession(sessionID, reason string) {
	if s := h.session(sessionID); s != nil {
		s.expel(reason, presence.Kicked)
	}
}

func (h *Hall) session(id string) *seat {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sessions[id]
}

// Drain closes every connection, one after another over the given time, after it has told each client when its turn
// comes. It returns when the last was closed.
func (h *Hall) Drain(over time.Duration) {
	seats := h.seats()
	if len(seats) == 0 {
		return
	}
	step := over / time.Duration(len(seats))
	for i, s := range seats {
		at := time.Duration(i) * step
		if f, err := eventOf("server_draining", map[string]int64{"reconnectAfterMs": at.Milliseconds()}); err == nil {
			s.push(f)
		}
	}
	tick := time.NewTimer(0)
	defer tick.Stop()
	for _, s := range seats {
		<-tick.C
		s.drop()
		tick.Reset(step)
	}
}

// DropAll closes all connections at once; the clients come back by themselves.
func (h *Hall) DropAll() {
	for _, s := range h.seats() {
		s.drop()
	}
}

// excess returns the sockets of a user that are too many, those that have been silent for longest first, and how many more there
// are than can be ended here: limit may be what other nodes leave over. keep, which has just come, is not among them.
func (h *Hall) excess(userID string, limit int, keep *seat) (extra []*seat, more int) {
	var others []*seat
	for _, s := range h.rooms.in(userRoom(userID)) {
		if gone, _ := s.isGone(); !gone && !s.system && s != keep {
			others = append(others, s)
		}
	}
	over := len(others) + 1 - limit
	if over <= 0 {
		return nil, 0
	}
	slices.SortFunc(others, func(a, b *seat) int { return cmp.Compare(a.lastSign.Load(), b.lastSign.Load()) })
	here := min(over, len(others))
	return others[:here], over - here
}

var (
	_ conference.Hall = (*Hall)(nil)
	_ message.Hall    = (*Hall)(nil)
)

// enter puts a seat into the rooms it belongs to.
func (h *Hall) enter(s *seat, p person) {
	names := []socketio.Room{everybody}
	if p.userID != "" {
		names = append(names, userRoom(p.userID))
	}
	switch {
	case p.conferenceID != "":
		names = append(names, conferenceRoom(p.conferenceID))
		s.sock.Leave(lobby)
	case !s.system || s.conferenceID == "":
		names = append(names, lobby)
	}
	s.sock.Join(names...)
}

// taken reports whether a socket of another user has an alias.
func (h *Hall) taken(alias, userID string) bool {
	return slices.ContainsFunc(h.rooms.in(aliasRoom(alias)), func(s *seat) bool { return s.person().userID != userID })
}

// reclaim takes the alias that is a user's id from sockets of others.
func (h *Hall) reclaim(userID string) {
	for _, s := range h.rooms.in(aliasRoom(userID)) {
		if s.person().userID != userID {
			s.sock.Leave(aliasRoom(userID))
		}
	}
}
