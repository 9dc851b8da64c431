package socket

import (
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	socketio "github.com/zishang520/socket.io/servers/socket/v3"

	"rollcall/internal/conference"
	"rollcall/internal/presence"
)

// Hall is where the sockets of this node sit, and the one way to say something to them. It implements
// conference.Hall. Safe for concurrent use; no method waits for a socket.
type Hall struct {
	rooms *rooms
	log   *slog.Logger

	mu       sync.Mutex // guards the rest
	sessions map[string]*seat
	conns    map[string]*seat // by connection: one connection has one seat
}

// NewHall returns an empty hall.
func NewHall(log *slog.Logger) *Hall {
	return &Hall{rooms: newRooms(), log: log, sessions: map[string]*seat{}, conns: map[string]*seat{}}
}

// claim takes the only place of a connection for s.
func (h *Hall) claim(s *seat) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conns[s.conn.Id()] != nil {
		return false
	}
	h.conns[s.conn.Id()] = s
	return true
}

// name makes s findable by its session. old is the session it had before, "" for none.
func (h *Hall) name(s *seat, old, sessionID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, old)
	if sessionID != "" {
		h.sessions[sessionID] = s
	}
}

// forget removes a seat that has come to its end.
func (h *Hall) forget(s *seat, sessionID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conns[s.conn.Id()] == s {
		delete(h.conns, s.conn.Id())
	}
	delete(h.sessions, sessionID)
}

// Sockets returns how many sockets there are, those that are being let in included.
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

func treeStream(conferenceID string) string   { return "tree:" + conferenceID }
func rosterStream(conferenceID string) string { return "roster:" + conferenceID }

// treeFrame makes the frame of a tree. Of several that wait for a slow socket only the last is of use.
func treeFrame(conferenceID string, version int64, tree json.RawMessage) (*frame, error) {
	f, err := event("note_tree", tree)
	if err != nil {
		return nil, err
	}
	f.stream, f.version, f.latest = treeStream(conferenceID), version, true
	return f, nil
}

func rosterFrame(conferenceID, name string, version int64, payload json.RawMessage) (*frame, error) {
	f, err := event(name, payload)
	if err != nil {
		return nil, err
	}
	f.stream, f.version = rosterStream(conferenceID), version
	return f, nil
}

// PushTree implements conference.Hall.
func (h *Hall) PushTree(conferenceID string, version int64, tree json.RawMessage) {
	f, err := treeFrame(conferenceID, version, tree)
	if err != nil {
		h.log.Error("could not encode a tree", slog.Any("error", err))
		return
	}
	for _, s := range h.rooms.in(conferenceRoom(conferenceID)) {
		s.push(f)
	}
}

// PushRoster implements conference.Hall.
func (h *Hall) PushRoster(conferenceID string, r conference.RosterPush) {
	state, err := rosterFrame(conferenceID, "presence_state", r.Version, r.State)
	if err != nil {
		h.log.Error("could not encode a roster", slog.Any("error", err))
		return
	}
	var diff *frame
	if r.Diff != nil {
		if diff, err = rosterFrame(conferenceID, "presence_diff", r.Version, r.Diff); err != nil {
			h.log.Error("could not encode a roster", slog.Any("error", err))
			return
		}
		diff.from, diff.follows = r.From, true
	}
	for _, s := range h.rooms.in(conferenceRoom(conferenceID)) {
		if diff == nil || s.push(diff) == gap {
			s.push(state)
		}
	}
}

// find returns the seats of an audience.
func (h *Hall) find(to conference.Audience) []*seat {
	var candidates []*seat
	switch {
	case to.All && to.ConferenceID != "":
		candidates = h.rooms.in(conferenceRoom(to.ConferenceID))
	case to.All:
		candidates = h.rooms.in(everybody)
	default:
		asked := make(map[string]bool, len(to.Users))
		for _, user := range to.Users {
			if !asked[user] {
				asked[user] = true
				candidates = append(candidates, h.rooms.in(userRoom(user))...)
			}
		}
	}
	kept := candidates[:0]
	for _, s := range candidates {
		who := s.person()
		if to.Except != "" && who.userID == to.Except || !to.All && to.ConferenceID != "" && who.conferenceID != to.ConferenceID {
			continue
		}
		kept = append(kept, s)
	}
	return kept
}

// Find implements conference.Hall.
func (h *Hall) Find(to conference.Audience) []conference.Socket {
	seats := h.find(to)
	list := make([]conference.Socket, 0, len(seats))
	for _, s := range seats {
		who := s.person()
		list = append(list, conference.Socket{SessionID: who.sessionID, UserID: who.userID, ClientType: s.clientType, DeviceID: s.deviceID, IP: s.ip})
	}
	return list
}

// Emit implements conference.Hall.
func (h *Hall) Emit(to conference.Audience, name string, args ...json.RawMessage) {
	f, err := event(name, args...)
	if err != nil {
		h.log.Error("could not encode an event", slog.Any("error", err))
		return
	}
	for _, s := range h.find(to) {
		s.push(f)
	}
}

// EmitRoom implements conference.Hall.
func (h *Hall) EmitRoom(conferenceID, exceptUser, name string, payload json.RawMessage) {
	h.Emit(conference.Audience{All: true, ConferenceID: conferenceID, Except: exceptUser}, name, payload)
}

// End implements conference.Hall.
func (h *Hall) End(to conference.Audience, reason string) int {
	ended := 0
	for _, s := range h.find(to) {
		if to.All && s.system { // it watches many conferences, of which this is one
			s.unwatch(to.ConferenceID)
			continue
		}
		s.expel(reason, presence.Kicked)
		ended++
	}
	return ended
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

// Drain tells every client to come back elsewhere, at times spread over the given duration, and closes each
// connection at its time. It returns when all were closed.
func (h *Hall) Drain(over time.Duration) {
	seats := h.seats()
	if len(seats) == 0 {
		return
	}
	for _, s := range seats {
		back := rand.N(over/2 + 1)
		if f, err := eventOf("server_draining", map[string]int64{"reconnectAfterMs": back.Milliseconds()}); err == nil {
			s.push(f)
		}
	}
	step := over / 2 / time.Duration(len(seats))
	for _, s := range seats {
		s.drop()
		if step > 0 {
			t := time.NewTimer(step)
			<-t.C
		}
	}
}

// DropAll closes all connections at once; the clients come back by themselves.
func (h *Hall) DropAll() {
	for _, s := range h.seats() {
		s.drop()
	}
}

// sweep ends seats whose connection is over although nobody said so.
func (h *Hall) sweep() {
	for _, s := range h.seats() {
		if state := s.conn.ReadyState(); state == "closed" {
			s.end(presence.Lost)
		}
	}
}

// silent returns the socket of a user, other than of s, that has been silent for longest, if he has more than limit.
func (h *Hall) silent(s *seat, userID string, limit int) *seat {
	var oldest *seat
	count := 0
	for _, other := range h.rooms.in(userRoom(userID)) {
		if other.system {
			continue
		}
		count++
		if other != s && (oldest == nil || other.lastSign.Load() < oldest.lastSign.Load()) {
			oldest = other
		}
	}
	if count <= limit {
		return nil
	}
	return oldest
}

var _ conference.Hall = (*Hall)(nil)

// enter puts a seat into the rooms it belongs to.
func (h *Hall) enter(s *seat, p person) {
	names := []socketio.Room{everybody}
	if p.userID != "" {
		names = append(names, userRoom(p.userID))
	}
	if p.conferenceID != "" {
		names = append(names, conferenceRoom(p.conferenceID))
	}
	s.sock.Join(names...)
}
