package conference

import (
	"bytes"
	"encoding/json"
	"slices"

	"rollcall/internal/presence"
	"rollcall/internal/rawjson"
)

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
