package conference

import (
	"bytes"
	"encoding/json"
	"slices"
	"sync"

	"rollcall/internal/presence"
	"rollcall/internal/rawjson"
)

// treePush is what brings a room that has seen an earlier snapshot, which may be nil, to s.
func (s *snapshot) treePush(before *snapshot) *TreePush {
	p := &TreePush{Version: s.versions.Tree, Tree: s.tree()}
	if before != nil {
		p.From = before.versions.Tree
		p.Patch = sync.OnceValue(func() json.RawMessage { return s.patch(before, len(p.Tree)) })
	}
	return p
}

// rosterPush is the same for the roster.
func (s *snapshot) rosterPush(before *snapshot) *RosterPush {
	p := &RosterPush{Version: s.versions.Roster, Diff: s.diff(before), State: s.state()}
	if before != nil {
		p.From = before.versions.Roster
	}
	return p
}

// patch makes note_tree_patch from an earlier snapshot to s, or nil if no merge patch can say it or the tree itself, of so many
// bytes, is shorter.
func (s *snapshot) patch(before *snapshot, tree int) json.RawMessage {
	changes, ok := patchSections(before, s)
	if !ok {
		return nil
	}
	text, err := rawjson.Encode(struct {
		ConferenceID string                     `json:"conferenceId"`
		From         int64                      `json:"from"`
		To           int64                      `json:"to"`
		ServerTime   int64                      `json:"serverTime"`
		Patch        map[string]json.RawMessage `json:"patch"`
	}{s.conferenceID, before.versions.Tree, s.versions.Tree, now(), changes})
	if err != nil || len(text) >= tree {
		return nil
	}
	return text
}

// patchSections returns the merge patch between the sections of two snapshots.
func patchSections(before, after *snapshot) (map[string]json.RawMessage, bool) {
	patch := map[string]json.RawMessage{}
	for i, sec := range sections {
		was, is := before.section(i), after.section(i)
		switch {
		case bytes.Equal(was, is):
			continue
		case is == nil:
			patch[sec.name] = json.RawMessage("null")
			continue
		}
		change, ok := rawjson.Diff(was, is)
		if !ok {
			return nil, false
		}
		patch[sec.name] = change
	}
	return patch, true
}

// section returns section i as it stands in the tree, nil for one that is left out.
func (s *snapshot) section(i int) json.RawMessage {
	if i == head {
		return withCount(s.content.text[head], s.roster.Online)
	}
	return s.content.text[i]
}

// diff makes presence_diff from an earlier snapshot to s, or nil if a diff cannot say it and everybody is to get
// the whole state: the list of members changed.
func (s *snapshot) diff(before *snapshot) json.RawMessage {
	if before == nil || before.versions.Members != s.versions.Members {
		return nil
	}
	var changed []wireUser // nil, and so left out, in a room too large to be told of each
	var left []string
	if s.present != nil && before.present == nil {
		return nil // the room shrank to a size at which each counts again
	}
	if s.present != nil {
		changed, left = compare(before.present, s.present)
	}
	text, err := rawjson.Encode(struct {
		ConferenceID  string     `json:"conferenceId"`
		From          int64      `json:"from"`
		RosterVersion int64      `json:"rosterVersion"`
		Version       int64      `json:"version"`
		Online        int        `json:"online"`
		Changed       []wireUser `json:"changed,omitzero"`
		Left          []string   `json:"left,omitzero"`
	}{s.conferenceID, before.versions.Roster, s.versions.Roster, s.versions.Tree, s.roster.Online, changed, left})
	if err != nil {
		return nil
	}
	return text
}

// compare returns who is there differently, and who went and is no member. A member who went is there as absent.
func compare(before, after map[string]presence.Entry) (changed []wireUser, left []string) {
	changed, left = []wireUser{}, []string{}
	for id, e := range after {
		if old, ok := before[id]; !ok || !same(old, e) {
			changed = append(changed, toWire(e))
		}
	}
	for id, e := range before {
		if _, ok := after[id]; ok {
			continue
		}
		if !e.Member {
			left = append(left, id)
			continue
		}
		e.State, e.Devices, e.Since = presence.Absent, nil, now()
		if e.Excused {
			e.State = presence.Excused
		}
		changed = append(changed, toWire(e))
	}
	slices.SortFunc(changed, func(a, b wireUser) int { return bytes.Compare([]byte(a.UserID), []byte(b.UserID)) })
	slices.Sort(left)
	return changed, left
}

// same reports whether two entries look the same to a client.
func same(a, b presence.Entry) bool {
	return a.State == b.State && a.UserName == b.UserName && a.Role == b.Role && a.Since == b.Since &&
		bytes.Equal(a.Attrs, b.Attrs) && slices.Equal(a.Devices, b.Devices)
}
