package conference

import (
	"bytes"
	"encoding/json"

	"rollcall/internal/fault"
	"rollcall/internal/id"
	"rollcall/internal/rawjson"
)

// presenter is who shares the screen, as the section sameScreen says it.
type presenter struct{ userID, userName string }

// sharing reads who shares; ok is false if nobody does, or if the section holds something else.
func sharing(section json.RawMessage) (p presenter, ok bool) {
	fields, ok := rawjson.Object(section)
	if !ok || !shares(fields["isShare"]) {
		return presenter{}, false
	}
	var user id.ID
	if json.Unmarshal(fields["userId"], &user) != nil || id.Nobody(string(user)) {
		return presenter{}, false
	}
	_ = json.Unmarshal(fields["userName"], &p.userName) // a backend need not give one
	p.userID = string(user)
	return p, true
}

func shares(flag json.RawMessage) bool {
	var text string
	if json.Unmarshal(flag, &text) == nil {
		return text == "1"
	}
	flag = bytes.TrimSpace(flag)
	return string(flag) == "1" || string(flag) == "true"
}

var errScreenForeign = fault.New(fault.Conflict, "conflict", "the section sameScreen is not an object")

// mergeScreen writes some keys of the section sameScreen and leaves the others alone.
func mergeScreen(c *content, keys map[string]string) error {
	fields, ok := rawjson.Object(c.text[screenSection])
	switch {
	case ok:
	case c.broken[screenSection] || c.text[screenSection] != nil:
		return errScreenForeign
	default:
		fields = map[string]json.RawMessage{}
	}
	for key, value := range keys {
		text, err := rawjson.Encode(value)
		if err != nil {
			return err
		}
		fields[key] = text
	}
	text, err := rawjson.Encode(fields)
	if err != nil {
		return err
	}
	c.text[screenSection] = text
	return nil
}
