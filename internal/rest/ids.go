package rest

import (
	"encoding/json"
	"fmt"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/fault"
	"rollcall/internal/id"
)

// ref is an id in a request body: a string, or an integer whose digits are kept as they are.
type ref string

// UnmarshalJSON implements json.Unmarshaler.
func (r *ref) UnmarshalJSON(b []byte) error {
	var i id.ID
	if err := json.Unmarshal(b, &i); err != nil {
		return err
	}
	*r = ref(i)
	return nil
}

// Schema implements huma.SchemaProvider.
func (ref) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		OneOf:       []*huma.Schema{{Type: huma.TypeString}, {Type: huma.TypeInteger}},
		Description: "1 to 64 letters, digits and . _ : @ -, as a string or as an integer, which is read as its exact digits",
	}
}

// checkUser reports why s names no user, session or notice.
func checkUser(where, s string) error {
	if id.Nobody(s) {
		return badID(where, fmt.Errorf("must not be blank"))
	}
	if err := id.Check(s); err != nil {
		return badID(where, err)
	}
	return nil
}

// checkConference reports why s names no conference.
func checkConference(where, s string) error {
	if id.NoConference(s) {
		return badID(where, fmt.Errorf("must name a conference"))
	}
	if err := id.Check(s); err != nil {
		return badID(where, err)
	}
	return nil
}

// optionalConference returns the conference that s names, "" for none.
func optionalConference(where, s string) (string, error) {
	if id.NoConference(s) {
		return "", nil
	}
	return s, checkConference(where, s)
}

func badID(where string, why error) error {
	return fault.New(fault.Invalid, "bad_id", fmt.Sprintf("%s: an id %v", where, why))
}

// userIDs checks a list of users and returns each once, in the order in which they are first named.
func userIDs(where string, refs []ref) ([]string, error) {
	users := make([]string, 0, len(refs))
	known := make(map[ref]bool, len(refs))
	for i, r := range refs {
		if err := checkUser(fmt.Sprintf("%s[%d]", where, i), string(r)); err != nil {
			return nil, err
		}
		if !known[r] {
			known[r] = true
			users = append(users, string(r))
		}
	}
	return users, nil
}
