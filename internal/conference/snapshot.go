package conference

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"

	"gorm.io/gorm"

	"rollcall/internal/presence"
	"rollcall/internal/rawjson"
)

// snapshot is what one consistent read of the database said about a conference.
type snapshot struct {
	conferenceID string
	versions     presence.Versions
	stamp        string // updated_at of the tree row
	headColumn   string
	content      content
	body         []byte // see content.body
	roster       presence.Roster
	present      map[string]presence.Entry // everybody online or reconnecting; nil in a room too large to be told of each

	state func() json.RawMessage // presence_state, encoded once and only if somebody wants it
}

// tree returns the note_tree of the snapshot.
func (s *snapshot) tree() json.RawMessage {
	return encodeTree(s.conferenceID, s.versions.Tree, s.body)
}

// look reads a snapshot; before is the last one, if there is any, and written what stands in the database now, if that is known. If the
// tree row was changed by somebody who does not raise versions, it raises them first.
func (h *House) look(ctx context.Context, conferenceID string, before *snapshot, written *knownRow) (*snapshot, error) {
	if written != nil && before != nil && written.Versions.Roster == before.versions.Roster && written.Versions.Tree > before.versions.Tree {
		return h.put(before.next(*written)), nil
	}
	s, err := h.readSnapshot(ctx, conferenceID, before)
	if err != nil {
		return nil, err
	}
	if s.content.is(s.versions.ContentDigest) {
		return s, nil
	}
	if _, err := h.adopt(ctx, conferenceID, false); err != nil {
		return nil, err
	}
	return h.readSnapshot(ctx, conferenceID, before)
}

// readSnapshot reads one. When content has changed, or somebody has written the tree row alone, as every node does that writes the
// number of people back, one statement is enough: who is there, and who should be, is as it was before.
func (h *House) readSnapshot(ctx context.Context, conferenceID string, before *snapshot) (*snapshot, error) {
	s := &snapshot{conferenceID: conferenceID}
	if before != nil {
		s.content = before.content // until it is read again
		var known knownRow
		var ok bool
		err := h.DB.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) (err error) {
			known, ok, err = readKnown(tx, conferenceID)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read what is new of a conference: %w", err)
		}
		if ok && known.Versions.Roster == before.versions.Roster {
			return h.put(before.next(known)), nil
		}
	}
	if err := h.DB.Read(ctx, func(ctx context.Context, tx *gorm.DB) error { return h.readAll(ctx, tx, s) }); err != nil {
		return nil, fmt.Errorf("read snapshot of conference: %w", err)
	}
	return h.put(s), nil
}

// put puts a snapshot together out of what was read.
func (h *House) put(s *snapshot) *snapshot {
	h.reportBroken(s)
	s.body = s.content.body(s.roster.Online)
	s.state = sync.OnceValue(s.encodeState)
	return s
}

// next returns what is to be put together of a later state of the tree, with the same people.
func (s *snapshot) next(known knownRow) *snapshot {
	later := &snapshot{conferenceID: s.conferenceID, roster: s.roster, present: s.present}
	later.take(known.Tree, known.Versions, s.content)
	return later
}

// readAll reads all of a snapshot, in one transaction.
func (h *House) readAll(ctx context.Context, tx *gorm.DB, s *snapshot) error {
	versions, err := presence.ReadVersions(tx, s.conferenceID)
	if err != nil {
		return err
	}
	if s.roster, err = h.Presence.RosterOf(ctx, s.conferenceID, h.DetailMax, versions); err != nil {
		return err
	}
	if s.present, err = h.presentIn(ctx, s.conferenceID, s.roster); err != nil {
		return err
	}
	row, err := readTree(tx, s.conferenceID)
	if err != nil {
		return err
	}
	s.take(row, versions, s.content)
	return nil
}

// take puts what was read into the snapshot. known is as for read.
func (s *snapshot) take(row treeRow, v presence.Versions, known content) {
	s.versions, s.roster.Versions = v, v
	s.stamp, s.content = row.Stamp, row.content(v, known)
	if row.HeadData != nil {
		s.headColumn = *row.HeadData
	}
}

// presentIn returns everybody who is there, or nil if they are too many for anybody to be told of each.
func (h *House) presentIn(ctx context.Context, conferenceID string, r presence.Roster) (map[string]presence.Entry, error) {
	if r.Online > h.DetailMax {
		return nil, nil //nolint:nilnil // nil is the documented answer
	}
	list := r.Users
	if r.More {
		var err error
		if list, err = h.Presence.Present(ctx, conferenceID); err != nil {
			return nil, err
		}
	}
	present := make(map[string]presence.Entry, r.Online)
	for _, e := range list {
		if e.State == presence.Online || e.State == presence.Reconnecting {
			present[e.UserID] = e
		}
	}
	return present, nil
}

// brokenSections remembers what was reported, so that a section that stays broken is one line in the log. mu guards seen.
type brokenSections struct {
	mu   sync.Mutex
	seen map[string]string // conference and section -> digest of the content it was reported for
}

// maxReported bounds the memory of brokenSections; beyond it everything may be reported once more.
const maxReported = 10_000

func (h *House) reportBroken(s *snapshot) {
	for i, broken := range s.content.broken {
		key := s.conferenceID + "\x00" + sections[i].name
		h.broken.mu.Lock()
		if h.broken.seen == nil || len(h.broken.seen) > maxReported {
			h.broken.seen = map[string]string{}
		}
		fresh := broken && h.broken.seen[key] != s.content.digest
		if broken {
			h.broken.seen[key] = s.content.digest
		} else {
			delete(h.broken.seen, key)
		}
		h.broken.mu.Unlock()
		if fresh {
			h.metrics.broken.Inc()
			h.Log.Warn("a section of the tree is not valid JSON and was left out", slog.String("conference", s.conferenceID), slog.String("section", sections[i].name), slog.String("column", sections[i].column))
		}
	}
}

// wireUser is U of the protocol.
type wireUser struct {
	UserID   string          `json:"userId"`
	UserName string          `json:"userName"`
	Role     string          `json:"role"`
	Attrs    json.RawMessage `json:"attrs"`
	State    presence.State  `json:"state"`
	Since    int64           `json:"since"`
	Devices  []wireDevice    `json:"devices"`
}

type wireDevice struct {
	SessionID   string `json:"sessionId"`
	ClientType  string `json:"clientType"`
	DeviceID    string `json:"deviceId"`
	ConnectedAt int64  `json:"connectedAt"`
}

func toWire(e presence.Entry) wireUser {
	u := wireUser{UserID: e.UserID, UserName: e.UserName, Role: e.Role, Attrs: e.Attrs, State: e.State, Since: e.Since, Devices: make([]wireDevice, 0, len(e.Devices))}
	if rawjson.Blank(u.Attrs) {
		u.Attrs = json.RawMessage("{}")
	}
	for _, d := range e.Devices {
		u.Devices = append(u.Devices, wireDevice{d.SessionID, d.ClientType, d.DeviceID, d.ConnectedAt})
	}
	return u
}

func allToWire(entries []presence.Entry) []wireUser {
	users := make([]wireUser, 0, len(entries))
	for _, e := range entries {
		users = append(users, toWire(e))
	}
	return users
}

// encodeState makes presence_state.
func (s *snapshot) encodeState() json.RawMessage {
	text, err := rawjson.Encode(struct {
		ConferenceID  string     `json:"conferenceId"`
		RosterVersion int64      `json:"rosterVersion"`
		Version       int64      `json:"version"`
		Online        int        `json:"online"`
		Expected      int        `json:"expected"`
		Excused       int        `json:"excused"`
		Users         []wireUser `json:"users"`
		More          bool       `json:"more"`
	}{s.conferenceID, s.versions.Roster, s.versions.Tree, s.roster.Online, s.roster.Expected, s.roster.Excused, allToWire(s.roster.Users), s.roster.More})
	if err != nil {
		return nil
	}
	return text
}
