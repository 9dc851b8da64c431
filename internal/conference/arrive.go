package conference

import (
	"context"
	"encoding/json"
	"fmt"

	"rollcall/internal/fault"
	"rollcall/internal/presence"
)

// Arrive lets a session into its conference, if it has one, and returns when that is committed. Refusals are ErrUnknown,
// ErrOver, a Forbidden fault for who is barred or not a member, and those of presence. A conference that nobody
// registered comes to be if it may. The rooms and the snapshot are the caller's next steps, see Welcome.
func (h *House) Arrive(ctx context.Context, s presence.Session, by Pass) (presence.Arrival, error) {
	q := question{s.UserID, s.ConferenceID, by, true}
	if err := h.gate.ask(ctx, q); err != nil {
		return presence.Arrival{}, err
	}
	arrival, err := h.open(ctx, s)
	if err != nil {
		return presence.Arrival{}, err
	}
	// Once more: whoever sends people out does so after his commit, and would not see a session that was being opened.
	if err := h.gate.ask(ctx, q); err != nil {
		h.Presence.Close(s.ID, parting(err))
		return presence.Arrival{}, err
	}
	if len(arrival.Superseded) > 0 {
		h.endSessions(ctx, arrival.Superseded, "duplicate_session")
	}
	return arrival, nil
}

// open waits until a session is committed.
func (h *House) open(ctx context.Context, s presence.Session) (presence.Arrival, error) {
	ctx, span := h.Tracer.Start(ctx, "commit")
	defer span.End()
	arrival, err := h.Presence.Open(ctx, s)
	span.Fail(err)
	return arrival, err
}

// parting is why a session ends that was opened and may not stay: whom the conference does not want goes at once, and
// whom it could not look at has his grace.
func parting(err error) presence.Reason {
	switch fault.Of(err).Kind {
	case fault.Unavailable, fault.Internal:
		return presence.Lost
	}
	return presence.Kicked
}

// MayWatch reports why somebody ("" is nobody) may not look into a conference, or be in it any longer, or nil. An
// end keeps nobody from it who is not about to arrive, and a conference that nobody registered may be watched and does
// not come to be by that.
func (h *House) MayWatch(ctx context.Context, userID, conferenceID string, by Pass) error {
	return h.gate.ask(ctx, question{userID, conferenceID, by, false})
}

// Holds reports whether a session is open on this node.
func (h *House) Holds(sessionID string) bool { return h.Presence.Holds(sessionID) }

// Leave takes a session out of its conference. It does not wait.
func (h *House) Leave(sessionID string, why presence.Reason) { h.Presence.Close(sessionID, why) }

// Snapshot is what a newcomer is shown.
type Snapshot struct {
	TreeVersion   int64
	Tree          json.RawMessage
	RosterVersion int64
	Roster        json.RawMessage // presence_state
}

// Welcome returns the snapshot in memory, for somebody who has just joined the room of a conference. ok is false
// when there is none yet; then he is pushed to like everybody in the room, as soon as there is.
func (h *House) Welcome(conferenceID string) (s Snapshot, ok bool) {
	k := h.keeperOf(conferenceID)
	last := k.snapshot()
	if last == nil {
		k.mark(aboutPeople, nil)
		return Snapshot{}, false
	}
	return Snapshot{last.versions.Tree, last.tree(), last.versions.Roster, last.state()}, true
}

// Versions returns tree and roster version of the snapshot in memory, 0 and 0 if there is none.
func (h *House) Versions(conferenceID string) (tree, roster int64) {
	h.mu.Lock()
	k := h.keepers[conferenceID]
	h.mu.Unlock()
	if k == nil {
		return 0, 0
	}
	s := k.snapshot()
	if s == nil {
		return 0, 0
	}
	return s.versions.Tree, s.versions.Roster
}

// Tree returns the newest committed tree and its version. When the database is away it is the one in memory, if any.
func (h *House) Tree(ctx context.Context, conferenceID string) (json.RawMessage, int64, error) {
	h.mu.Lock()
	k := h.keepers[conferenceID]
	h.mu.Unlock()
	var s *snapshot
	if k != nil {
		s = k.snapshot()
	}
	if s == nil || h.Away == nil || !h.Away() { // else nobody waits for what is known not to answer
		fresh, err := h.look(ctx, conferenceID, nil, nil)
		switch {
		case err == nil:
			s = fresh
		case s == nil || !fault.Is(err, fault.Unavailable):
			return nil, 0, err
		}
	}
	return s.tree(), s.versions.Tree, nil
}

// State returns presence_state as it is committed, with the addresses and nodes of devices, which are not for
// everybody.
func (h *House) State(ctx context.Context, conferenceID string) (presence.Roster, error) {
	return h.Presence.Roster(ctx, conferenceID, h.DetailMax)
}

// Page is a part of a roster as clients see it, with the numbers of all of it, of one moment.
type Page struct {
	Tree, Roster              int64 // versions
	Online, Expected, Excused int
	Items                     json.RawMessage // users
	Next                      string          // cursor of the next page, "" if there is none
}

// Page returns a page of the roster.
func (h *House) Page(ctx context.Context, conferenceID, cursor string, limit int) (Page, error) {
	r, next, err := h.Presence.Page(ctx, conferenceID, cursor, limit)
	if err != nil {
		return Page{}, err
	}
	items, err := json.Marshal(allToWire(r.Users))
	if err != nil {
		return Page{}, fmt.Errorf("encode roster page: %w", err)
	}
	return Page{r.Versions.Tree, r.Versions.Roster, r.Online, r.Expected, r.Excused, items, next}, nil
}
