package conference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"rollcall/internal/fault"
	"rollcall/internal/presence"
)

// Refusals of a conference towards somebody who wants in.
var (
	ErrUnknown = fault.New(fault.NotFound, "unknown_conference", "nobody has registered this conference")
	ErrOver    = fault.New(fault.Conflict, "conference_ended", "this conference has ended")
)

// Arrive lets a session into its conference, if it has one, and returns when that is committed. Who is barred is
// refused with a Forbidden fault. The rooms and the snapshot are the caller's next steps, see Welcome.
func (h *House) Arrive(ctx context.Context, s presence.Session) (presence.Arrival, error) {
	if s.ConferenceID != "" {
		if err := h.Admits(ctx, s.ConferenceID); err != nil {
			return presence.Arrival{}, err
		}
	}
	if err := h.mayEnter(ctx, s); err != nil {
		return presence.Arrival{}, err
	}
	arrival, err := h.Presence.Open(ctx, s)
	if err != nil {
		return presence.Arrival{}, err
	}
	// Once more: who bars somebody ends his sessions after the commit, and would not see one that was being opened.
	if err := h.mayEnter(ctx, s); err != nil {
		why := presence.Lost
		if errors.Is(err, errBarred) {
			why = presence.Kicked
		}
		h.Presence.Close(s.ID, why)
		return presence.Arrival{}, err
	}
	for _, id := range arrival.Superseded {
		h.Hall.EndSession(id, "duplicate_session")
	}
	return arrival, nil
}

// Holds reports whether a session is open on this node.
func (h *House) Holds(sessionID string) bool { return h.Presence.Holds(sessionID) }

// Leave takes a session out of its conference. It does not wait.
func (h *House) Leave(sessionID string, why presence.Reason) { h.Presence.Close(sessionID, why) }

// Admits reports why nobody may come into a conference, or nil. A conference that nobody registered comes to be here.
func (h *House) Admits(ctx context.Context, conferenceID string) error {
	// While a snapshot is in memory it knows; it is at most one poll older than the database.
	h.mu.Lock()
	k := h.keepers[conferenceID]
	h.mu.Unlock()
	if k != nil {
		if s := k.snapshot(); s != nil && s.registered && h.Hall.Occupancy(conferenceID) > 0 {
			if s.ended {
				return ErrOver
			}
			return nil
		}
	}
	_, err, _ := h.gate.Do(conferenceID, func() (any, error) { return nil, h.ask(ctx, conferenceID) })
	return err
}

// ask reads from the database whether a conference admits people, and registers it if it may.
func (h *House) ask(ctx context.Context, conferenceID string) error {
	ctx = context.WithoutCancel(ctx) // others wait for the same answer; the store bounds it
	var (
		row conferenceRow
		ok  bool
	)
	err := h.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) (err error) {
		row, ok, err = readConference(tx, conferenceID)
		return err
	})
	switch {
	case err != nil:
		return err
	case ok && row.EndedAt != nil:
		return ErrOver
	case ok:
		return nil
	case !h.AutoCreate:
		return ErrUnknown
	}
	return h.DB.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		row := conferenceRow{ID: conferenceID, CreatedAt: now(), UpdatedAt: now()}
		if err := tx.Clauses(clause.OnConflict{DoNothing: true}).Create(&row).Error; err != nil {
			return fmt.Errorf("register conference: %w", err)
		}
		return nil
	})
}

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
		k.mark(aboutPeople)
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
	s, err := h.look(ctx, conferenceID)
	if fault.Is(err, fault.Unavailable) {
		h.mu.Lock()
		k := h.keepers[conferenceID]
		h.mu.Unlock()
		if k != nil && k.snapshot() != nil {
			s, err = k.snapshot(), nil
		}
	}
	if err != nil {
		return nil, 0, err
	}
	return s.tree(), s.versions.Tree, nil
}

// State returns presence_state as it is committed, with the addresses and nodes of devices, which are not for
// everybody.
func (h *House) State(ctx context.Context, conferenceID string) (presence.Roster, error) {
	return h.Presence.Roster(ctx, conferenceID, h.DetailMax)
}

// Page returns a page of the roster as clients see it.
func (h *House) Page(ctx context.Context, conferenceID, cursor string, limit int) (items json.RawMessage, next string, version int64, err error) {
	entries, next, version, err := h.Presence.Page(ctx, conferenceID, cursor, limit)
	if err != nil {
		return nil, "", 0, err
	}
	items, err = json.Marshal(allToWire(entries))
	if err != nil {
		return nil, "", 0, fmt.Errorf("encode roster page: %w", err)
	}
	return items, next, version, nil
}
