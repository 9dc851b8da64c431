package conference

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/id"
	"rollcall/internal/presence"
	"rollcall/internal/rawjson"
	"rollcall/internal/webhook"
)

var errSignInForeign = fault.New(fault.Conflict, "conflict", "the section signInData holds something that is not a list of who signed in")

// signature is an entry of signed in the section signInData.
type signature struct {
	UserID   id.ID  `json:"userId"`
	UserName string `json:"userName"`
	At       int64  `json:"at"` // milliseconds since 1970
}

// SignIn notes that a user has signed in to a conference and returns when, in milliseconds since 1970. Again returns the
// first time and changes nothing. extra, any JSON or nothing, goes to the backend with it. A section signInData that is
// not an object with a list under signed is a Conflict fault.
func (h *House) SignIn(ctx context.Context, conferenceID, userID string, extra json.RawMessage) (at int64, err error) {
	if !rawjson.Blank(extra) {
		if err := rawjson.Check(extra, maxDepth); err != nil {
			return 0, fault.Invalidf("the fields beside are %v", err)
		}
	}
	err = h.DB.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		d, err := h.draft(ctx, tx, conferenceID)
		if err != nil {
			return err
		}
		fields, list, err := readSignIn(d.after)
		if err != nil {
			return err
		}
		if first, ok := signatures(list)[userID]; ok {
			at = first
			return nil
		}
		if at, err = h.DB.Now(ctx); err != nil {
			return err
		}
		name, err := h.nameOf(ctx, tx, conferenceID, userID)
		if err != nil {
			return err
		}
		entry, err := rawjson.Encode(signature{id.ID(userID), name, at})
		if err != nil {
			return fmt.Errorf("encode signature: %w", err)
		}
		if err := h.sign(ctx, d, fields, append(list, entry)); err != nil {
			return err
		}
		if _, err := h.save(ctx, tx, d); err != nil {
			return err
		}
		data := map[string]any{"userId": userID, "userName": name}
		if !rawjson.Blank(extra) {
			data["extra"] = extra
		}
		return h.Webhooks.Append(ctx, []webhook.Event{{Type: "sign_in", ConferenceID: conferenceID, At: at, Data: data}})
	})
	if err != nil {
		return 0, err
	}
	return at, nil
}

// SignedAt returns when users signed in to a conference, in milliseconds since 1970, by user.
func (h *House) SignedAt(ctx context.Context, conferenceID string) (map[string]int64, error) {
	var c content
	err := h.DB.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) error {
		row, err := readTree(tx, conferenceID)
		c = row.content(presence.Versions{}, content{})
		return err
	})
	if err != nil {
		return nil, err
	}
	_, list, err := readSignIn(c)
	if err != nil {
		return map[string]int64{}, nil //nolint:nilerr // the backend keeps something else there
	}
	return signatures(list), nil
}

// sign puts a list of signatures into the section, with the numbers that go with it.
func (h *House) sign(ctx context.Context, d *draft, fields map[string]json.RawMessage, list []json.RawMessage) error {
	roster, err := h.Presence.Roster(ctx, d.conferenceID, 0)
	if err != nil {
		return err
	}
	total := roster.Expected
	if roster.Expected+roster.Excused == 0 {
		total = max(roster.Online, len(list))
	}
	text, err := rawjson.Encode(list)
	if err != nil {
		return fmt.Errorf("encode signatures: %w", err)
	}
	fields["signed"] = text
	fields["signedNumber"] = strconv.AppendInt(nil, int64(len(list)), 10)
	fields["total"] = strconv.AppendInt(nil, int64(total), 10)
	if text, err = rawjson.Encode(fields); err != nil {
		return fmt.Errorf("encode signInData: %w", err)
	}
	d.after.text[signInSection] = text
	return h.fits(d)
}

// readSignIn returns the fields of the section, and the list under signed as text.
func readSignIn(c content) (fields map[string]json.RawMessage, list []json.RawMessage, err error) {
	section := c.text[signInSection]
	if section == nil && !c.broken[signInSection] {
		return map[string]json.RawMessage{}, nil, nil
	}
	fields, ok := rawjson.Object(section)
	if !ok {
		return nil, nil, errSignInForeign
	}
	if signed := fields["signed"]; !rawjson.Blank(signed) && json.Unmarshal(signed, &list) != nil {
		return nil, nil, errSignInForeign
	}
	return fields, list, nil
}

// signatures returns when each signed first. What a backend put into the list and cannot be read is left out.
func signatures(list []json.RawMessage) map[string]int64 {
	out := make(map[string]int64, len(list))
	for _, text := range list {
		var s signature
		if json.Unmarshal(text, &s) != nil || id.Nobody(string(s.UserID)) {
			continue
		}
		if _, again := out[string(s.UserID)]; !again {
			out[string(s.UserID)] = s.At
		}
	}
	return out
}
