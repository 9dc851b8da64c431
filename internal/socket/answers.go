package socket

import (
	"context"
	"encoding/json"
	"time"

	"rollcall/internal/fault"
	"rollcall/internal/id"
	"rollcall/internal/presence"
)

const (
	// eventTimeout bounds what an event may take.
	eventTimeout = 5 * time.Second
	// rosterLimit and rosterMost are the usual and the largest page of a roster.
	rosterLimit, rosterMost = 50, 200
	// maxWatched is how many conferences one system client may watch.
	maxWatched = 1000
)

var errNoConference = fault.New(fault.Conflict, "no_conference", "this socket is in no conference")

// place returns the conference a seat is in, or, for a system client, the one it named when it connected; with auth on only
// while it watches that, which it may not for ever.
func (s *seat) place() (string, error) {
	c := s.person().conferenceID
	if c == "" && s.system && (s.door.Tokens == nil || s.watches(s.conferenceID)) {
		c = s.conferenceID
	}
	if c == "" {
		return "", errNoConference
	}
	return c, nil
}

// onHeartbeat answers jywsping. That it came counts as a sign of life.
func (s *seat) onHeartbeat(json.RawMessage) (answer, error) {
	var tree, roster int64
	if c, err := s.place(); err == nil {
		tree, roster = s.door.house.Versions(c)
	}
	return answer{"serverTime": now(), "version": tree, "rosterVersion": roster}, nil
}

// onLeave takes the seat out of its conference, without grace.
func (s *seat) onLeave(json.RawMessage) (answer, error) {
	if s.person().conferenceID == "" {
		return nil, errNoConference
	}
	return nil, s.move("", presence.Left)
}

// move opens a session of the seat's user in another place, or in none, and closes the one it had.
func (s *seat) move(place string, why presence.Reason) error {
	arrives, err := s.reseat(place, why)
	if arrives { // in the rooms first: what is sent from now on finds him there, and what was sent before is read
		s.door.messages.Arrived(s.socket())
	}
	return err
}

// reseat is move but for what waits for the user: when arrives is true, that is to be brought.
func (s *seat) reseat(place string, why presence.Reason) (arrives bool, err error) {
	if gone, _ := s.isGone(); gone { // the event was waiting when the socket ended
		return false, nil
	}
	old := s.person()
	p, err := s.door.openSession(context.Background(), s, place)
	if err != nil {
		return false, err
	}
	if !s.door.seatPerson(s, p) {
		p.sessionID = ""
	}
	if old.conferenceID != "" {
		s.sock.Leave(conferenceRoom(old.conferenceID))
		s.box.forget(treeStream(old.conferenceID))
		s.box.forget(rosterStream(old.conferenceID))
	}
	if old.sessionID != "" {
		s.door.hall.unbind(old.sessionID)
		s.door.house.Leave(old.sessionID, why)
	}
	if p.sessionID == "" {
		return false, nil
	}
	s.enter(p)
	if place != "" {
		s.door.show(s, place)
	}
	if old.userID == "" {
		s.door.limitSessions(s, p)
	}
	return true, nil
}

func (s *seat) onRoster(arg json.RawMessage) (answer, error) {
	var in struct {
		Cursor string `json:"cursor"`
		Limit  int    `json:"limit"`
	}
	if err := decode(arg, &in); err != nil {
		return nil, err
	}
	if err := checkLimit(in.Limit); err != nil {
		return nil, err
	}
	if in.Limit == 0 {
		in.Limit = rosterLimit
	}
	place, err := s.place()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
	defer cancel()
	p, err := s.door.house.Page(ctx, place, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	return answer{
		"version": p.Tree, "rosterVersion": p.Roster, "online": p.Online, "expected": p.Expected, "excused": p.Excused,
		"items": p.Items, "next": nullable(p.Next),
	}, nil
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// conferenceIDs reads the argument of watch and unwatch.
func conferenceIDs(arg json.RawMessage) ([]string, error) {
	var in struct {
		ConferenceIDs []id.ID `json:"conferenceIds"`
	}
	if err := decode(arg, &in); err != nil {
		return nil, err
	}
	list := make([]string, 0, len(in.ConferenceIDs))
	for _, c := range in.ConferenceIDs {
		if err := id.Check(string(c)); err != nil || id.NoConference(string(c)) {
			return nil, fault.Invalidf("conferenceIds must be ids of conferences")
		}
		list = append(list, string(c))
	}
	if len(list) == 0 {
		return nil, fault.Invalidf("conferenceIds is missing")
	}
	return list, nil
}

func (s *seat) onWatch(arg json.RawMessage) (answer, error) {
	if !s.system {
		return nil, fault.New(fault.Forbidden, "forbidden", "only system clients may watch")
	}
	list, err := conferenceIDs(arg)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	full := len(s.watched)+len(list) > maxWatched
	s.mu.Unlock()
	if full {
		return nil, fault.New(fault.TooLarge, "too_large", "too many conferences watched by one socket")
	}
	ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
	defer cancel()
	if err := s.door.mayWatch(ctx, s.userID, s.admitted, list...); err != nil {
		return nil, err
	}
	for _, c := range list {
		s.watch(c)
	}
	// Once more: whoever was to be sent out in the meantime was in no room yet.
	if err := s.door.mayWatch(ctx, s.userID, s.admitted, list...); err != nil {
		for _, c := range list {
			s.unwatch(c)
		}
		return nil, err
	}
	return nil, nil
}

func (s *seat) onUnwatch(arg json.RawMessage) (answer, error) {
	if !s.system {
		return nil, fault.New(fault.Forbidden, "forbidden", "only system clients may watch")
	}
	list, err := conferenceIDs(arg)
	if err != nil {
		return nil, err
	}
	for _, c := range list {
		s.unwatch(c)
	}
	return nil, nil
}

// watch lets a system client receive what the room of a conference receives, beginning with the snapshot.
func (s *seat) watch(conferenceID string) {
	s.mu.Lock()
	if s.watched == nil {
		s.watched = map[string]struct{}{}
	}
	s.watched[conferenceID] = struct{}{}
	s.mu.Unlock()
	s.sock.Join(conferenceRoom(conferenceID))
	s.door.show(s, conferenceID)
}

func (s *seat) watches(conferenceID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.watched[conferenceID]
	return ok
}

func (s *seat) unwatch(conferenceID string) {
	s.mu.Lock()
	delete(s.watched, conferenceID)
	s.mu.Unlock()
	s.sock.Leave(conferenceRoom(conferenceID))
	s.box.forget(treeStream(conferenceID))
	s.box.forget(rosterStream(conferenceID))
}

// treeAnswer is a tree within an answer, with its version, so that no client is answered with an older tree than it
// has seen.
type treeAnswer struct {
	json.RawMessage
	conferenceID string
	version      int64
}

func (s *seat) onResync(arg json.RawMessage) (answer, error) {
	var in struct {
		Version json.Number `json:"version"`
	}
	if err := decode(arg, &in); err != nil {
		return nil, err
	}
	place, err := s.place()
	if err != nil {
		return nil, err
	}
	if snap, ok := s.door.house.Welcome(place); ok {
		return answer{"tree": treeAnswer{snap.Tree, place, snap.TreeVersion}}, nil
	}
	return s.committedTree(place)
}

// committedTree answers with the tree as the database has it.
func (s *seat) committedTree(place string) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
	defer cancel()
	tree, version, err := s.door.house.Tree(ctx, place)
	if err != nil {
		return nil, err
	}
	return answer{"tree": treeAnswer{tree, place, version}}, nil
}
