package socket

import (
	"encoding/json"
	"log/slog"
	"runtime"

	"rollcall/internal/conference"
)

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

// patchFrame makes the frame of what has changed in a tree, nil if there is none. Once more of them wait for a socket than the tree
// itself takes, it gets that.
func patchFrame(conferenceID string, t *conference.TreePush) (*frame, error) {
	if t.Patch == nil {
		return nil, nil //nolint:nilnil // nil is the documented answer
	}
	patch := t.Patch()
	if patch == nil {
		return nil, nil //nolint:nilnil // as above
	}
	f, err := event("note_tree_patch", patch)
	if err != nil {
		return nil, err
	}
	f.stream, f.version, f.from, f.follows, f.instead = treeStream(conferenceID), t.Version, t.From, true, len(t.Tree)
	return f, nil
}

// pushed are the frames of one push: those that say all, and those for whoever has seen the version before. Any may be nil.
type pushed struct{ tree, patch, state, diff *frame }

// breath is after how many sockets of a crowd others have their turn on the processor.
const breath = 512

// Push implements conference.Hall.
func (h *Hall) Push(conferenceID string, t *conference.TreePush, r *conference.RosterPush) (users int) {
	seats, crowd := h.rooms.crowdIn(conferenceRoom(conferenceID))
	p, err := frames(conferenceID, t, r, crowd.lean)
	if err != nil {
		h.log.Error("could not encode what is to be pushed", slog.Any("error", err))
		return 0
	}
	for i, s := range seats {
		if i%breath == breath-1 {
			runtime.Gosched()
		}
		patch := p.patch
		if !s.patches {
			patch = nil
		}
		s.queueEither(patch, p.tree)
		s.queueEither(p.diff, p.state)
		s.flush()
	}
	return crowd.users
}

// frames encodes a push; lean says that somebody wants patches.
func frames(conferenceID string, t *conference.TreePush, r *conference.RosterPush, lean bool) (p pushed, err error) {
	if t != nil {
		if p.tree, err = treeFrame(conferenceID, t.Version, t.Tree); err != nil {
			return p, err
		}
		if lean {
			if p.patch, err = patchFrame(conferenceID, t); err != nil {
				return p, err
			}
		}
	}
	if r == nil {
		return p, nil
	}
	if p.state, err = rosterFrame(conferenceID, "presence_state", r.Version, r.State); err != nil || r.Diff == nil {
		return p, err
	}
	if p.diff, err = rosterFrame(conferenceID, "presence_diff", r.Version, r.Diff); err != nil {
		return p, err
	}
	p.diff.from, p.diff.follows = r.From, true
	return p, nil
}

// queueEither queues change, or whole if there is no change or the client has not seen what it follows.
func (s *seat) queueEither(change, whole *frame) {
	if whole != nil && (change == nil || s.queue(change) == gap) {
		s.queue(whole)
	}
}
