package socket

import (
	"slices"
	"sync"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
	socketio "github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// rooms is the library's adapter as it should be: who is in which room, under one lock, and one way to say
// something to a room, which encodes it once. Safe for concurrent use.
type rooms struct {
	socketio.Adapter

	mu    sync.RWMutex // guards the rest, and the places of all seats
	rooms map[socketio.Room]*room
	seats map[socketio.SocketId]*seat // those that are in any room
}

// room is who is in one. It is there as long as somebody is.
type room struct {
	members []*seat
	changes int    // of members, or of who sits in their seats
	crowd   *crowd // nil: unknown since the last change
}

// crowd is what a push wants to know of the members of a room. It never changes.
type crowd struct {
	users int
	lean  bool // somebody wants patches
}

// place is where a seat is among the members of a room.
type place struct {
	room socketio.Room
	at   int
}

// roomsBuilder implements the library's AdapterConstructor. The library asks for one adapter per namespace, and
// there is one namespace.
type roomsBuilder struct{ rooms *rooms }

// New implements AdapterConstructor.
func (b roomsBuilder) New(nsp socketio.Namespace) socketio.Adapter {
	b.rooms.Prototype(b.rooms)
	b.rooms.Construct(nsp)
	return b.rooms
}

func newRooms() *rooms {
	return &rooms{
		Adapter: socketio.MakeAdapter(),
		rooms:   map[socketio.Room]*room{},
		seats:   map[socketio.SocketId]*seat{},
	}
}

// AddAll implements Adapter.
func (r *rooms) AddAll(id socketio.SocketId, names *types.Set[socketio.Room]) {
	sock, ok := r.Nsp().Sockets().Load(id)
	if !ok {
		return
	}
	s, ok := sock.Data().(*seat)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seats[id] = s
	for _, name := range names.Keys() {
		if name == socketio.Room(id) { // the library gives every socket a room of its own; nobody speaks to one by it
			continue
		}
		at := r.rooms[name]
		if at == nil {
			at = &room{}
			r.rooms[name] = at
		}
		at.changed() // also if he was there: it may be somebody else who sits there now
		if s.placeIn(name) < 0 {
			s.places = append(s.places, place{name, len(at.members)})
			at.members = append(at.members, s)
		}
	}
}

// placeIn returns which of the seat's places is in a room, -1 if none is.
func (s *seat) placeIn(name socketio.Room) int {
	return slices.IndexFunc(s.places, func(p place) bool { return p.room == name })
}

// Del implements Adapter.
func (r *rooms) Del(id socketio.SocketId, name socketio.Room) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.seats[id]; s != nil {
		r.remove(s, name)
	}
}

// DelAll implements Adapter.
func (r *rooms) DelAll(id socketio.SocketId) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.seats[id]; s != nil {
		for len(s.places) > 0 {
			r.remove(s, s.places[0].room)
		}
	}
	delete(r.seats, id)
}

// remove takes a seat out of a room, and the room away with its last member. The last one takes the place of who goes. mu is held.
func (r *rooms) remove(s *seat, name socketio.Room) {
	i := s.placeIn(name)
	if i < 0 {
		return
	}
	from := r.rooms[name]
	from.changed()
	list, at := from.members, s.places[i].at
	last := len(list) - 1
	list[at] = list[last]
	list[at].places[list[at].placeIn(name)].at = at
	list[last] = nil
	s.places = slices.Delete(s.places, i, i+1)
	switch list = list[:last]; {
	case last == 0:
		delete(r.rooms, name)
	case cap(list) > 64 && last < cap(list)/4: // the crowd has gone
		from.members = slices.Clone(list)
	default:
		from.members = list
	}
}

// changed notes a change. The rooms' mu is held.
func (r *room) changed() { r.changes, r.crowd = r.changes+1, nil }

// SocketRooms implements Adapter.
func (r *rooms) SocketRooms(id socketio.SocketId) *types.Set[socketio.Room] {
	r.mu.RLock()
	defer r.mu.RUnlock()
	set := types.NewSet[socketio.Room]()
	if s := r.seats[id]; s != nil {
		for _, p := range s.places {
			set.Add(p.room)
		}
	}
	return set
}

// Broadcast implements Adapter for the library's own operators.
func (r *rooms) Broadcast(p *parser.Packet, o *socketio.BroadcastOptions) {
	p.Nsp = r.Nsp().Name()
	encoded := r.Nsp().Server().Encoder().Encode(p)
	if len(encoded) != 1 {
		return // binary attachments are not part of our protocol
	}
	f := newFrame(append([]byte("4"), encoded[0].Bytes()...), false)
	r.each(o, func(s *seat) { s.push(f) })
}

// Sockets implements Adapter.
func (r *rooms) Sockets(names *types.Set[socketio.Room]) *types.Set[socketio.SocketId] {
	set := types.NewSet[socketio.SocketId]()
	r.each(&socketio.BroadcastOptions{Rooms: names}, func(s *seat) { set.Add(s.sock.Id()) })
	return set
}

// each calls f for every seat that the library's options name, once.
func (r *rooms) each(o *socketio.BroadcastOptions, f func(*seat)) {
	var names, except []socketio.Room
	if o != nil && o.Rooms != nil {
		names = o.Rooms.Keys()
	}
	if o != nil && o.Except != nil {
		except = o.Except.Keys()
	}
	done := map[*seat]bool{}
	for _, name := range except {
		for _, s := range r.in(name) {
			done[s] = true
		}
	}
	if len(names) == 0 {
		names = []socketio.Room{everybody}
	}
	for _, name := range names {
		for _, s := range r.in(name) {
			if !done[s] {
				done[s] = true
				f(s)
			}
		}
	}
}

// in returns who is in the room now. The slice is the caller's.
func (r *rooms) in(name socketio.Room) []*seat {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if found := r.rooms[name]; found != nil {
		return slices.Clone(found.members)
	}
	return nil
}

// crowdIn is in, and what there is to know of all of them. That is found out once after each change.
func (r *rooms) crowdIn(name socketio.Room) ([]*seat, crowd) {
	r.mu.RLock()
	found := r.rooms[name]
	if found == nil {
		r.mu.RUnlock()
		return nil, crowd{}
	}
	seats, changes, known := slices.Clone(found.members), found.changes, found.crowd
	r.mu.RUnlock()
	if known != nil {
		return seats, *known
	}
	known = look(seats)
	r.mu.Lock()
	defer r.mu.Unlock()
	if found.changes == changes {
		found.crowd = known
	}
	return seats, *known
}

func look(seats []*seat) *crowd {
	var c crowd
	users := make(map[string]struct{}, len(seats))
	for _, s := range seats {
		if user := s.person().userID; user != "" {
			users[user] = struct{}{}
		}
		c.lean = c.lean || s.patches
	}
	c.users = len(users)
	return &c
}

// size returns how many sockets are in the room.
func (r *rooms) size(name socketio.Room) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if found := r.rooms[name]; found != nil {
		return len(found.members)
	}
	return 0
}

// everybody is the room of all sockets.
const everybody socketio.Room = "all"

// lobby is the room of those that are in no conference.
const lobby socketio.Room = "lobby"

// The rooms of a conference (its people and who watches it), of a user's sockets, and of those with an alias.
func conferenceRoom(id string) socketio.Room { return socketio.Room("conference:" + id) }
func userRoom(id string) socketio.Room       { return socketio.Room("user:" + id) }
func aliasRoom(alias string) socketio.Room   { return socketio.Room("alias:" + alias) }
