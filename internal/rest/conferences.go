package rest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"gorm.io/gorm"

	"rollcall/internal/conference"
	"rollcall/internal/fault"
	"rollcall/internal/id"
	"rollcall/internal/rawjson"
)

type conferenceItem struct {
	ID        string `json:"id"`
	Title     string `json:"title"`
	Ended     bool   `json:"ended"`
	EndedAt   *int64 `json:"endedAt" doc:"Milliseconds since 1970; null while it lives"`
	CreatedAt int64  `json:"createdAt" doc:"Milliseconds since 1970"`
	UpdatedAt int64  `json:"updatedAt" doc:"Milliseconds since 1970"`
	Online    int    `json:"online" doc:"People online or reconnecting in it"`
}

func itemOf(c conference.Conference) conferenceItem {
	return conferenceItem{c.ID, c.Title, c.EndedAt != nil, c.EndedAt, c.CreatedAt, c.UpdatedAt, c.Online}
}

type conferencePath struct {
	ID string `path:"id"`
}

// scalar is a string, a number or a boolean, kept as it was written.
type scalar json.RawMessage

// UnmarshalJSON implements json.Unmarshaler.
func (s *scalar) UnmarshalJSON(b []byte) error {
	*s = append((*s)[:0], b...)
	return nil
}

// Schema implements huma.SchemaProvider.
func (scalar) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{{Type: huma.TypeString}, {Type: huma.TypeNumber}, {Type: huma.TypeBoolean}}}
}

type putConferenceInput struct {
	ID   string `path:"id"`
	Body struct {
		Title  *string `json:"title,omitempty" maxLength:"255"`
		Status scalar  `json:"status,omitempty" doc:"The section conferenceStatus of the tree; it keeps its type"`
		Ended  *bool   `json:"ended,omitempty" doc:"true freezes the tree, tells the room and lets nobody in any more; false lets it live again"`
	}
}

func (d *Door) conferences() {
	register(d, operation{id: "put-conference", role: backend, method: http.MethodPut, path: "/conferences/{id}", tag: "conferences", summary: "Register or change a conference",
		detail: "Fields that are left out stay as they are.", also: []int{http.StatusCreated}, body: fields, errors: []int{http.StatusConflict}}, d.putConference)
	register(d, operation{id: "get-conference", role: viewer, method: http.MethodGet, path: "/conferences/{id}", tag: "conferences", summary: "Read a conference", errors: []int{http.StatusNotFound}}, d.getConference)
	register(d, operation{id: "list-conferences", role: viewer, method: http.MethodGet, path: "/conferences", tag: "conferences", summary: "List conferences in the order of their ids"}, d.listConferences)
	registerDelete(d, operation{id: "delete-conference", role: admin, path: "/conferences/{id}", tag: "conferences", summary: "Delete a conference",
		detail: "With its members and its tree. Everybody in it is disconnected for good.", errors: []int{http.StatusNotFound}}, d.deleteConference)
}

func (d *Door) putConference(ctx context.Context, in *putConferenceInput) (*answer[conferenceItem], error) {
	var created bool
	var c conference.Conference
	err := d.DB.Write(ctx, func(ctx context.Context, _ *gorm.DB) (err error) {
		r := conference.Registration{Title: in.Body.Title, Ended: in.Body.Ended}
		if !rawjson.Blank(in.Body.Status) {
			r.Status = json.RawMessage(in.Body.Status)
		}
		if created, err = d.House.Register(ctx, in.ID, r); err != nil {
			return err
		}
		if r.Status != nil {
			if err := d.audit(ctx, in.ID, act{Action: "tree.edit", Sections: []string{"conferenceStatus"}}); err != nil {
				return err
			}
		}
		c, err = d.House.Get(ctx, in.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return made(created, itemOf(c)), nil
}

func (d *Door) getConference(ctx context.Context, in *conferencePath) (*answer[conferenceItem], error) {
	c, err := d.House.Get(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return ok(itemOf(c)), nil
}

type conferencesQuery struct {
	Q string `query:"q" maxLength:"255" doc:"Part of the id or the title, in any case"`
	Paging
}

func (d *Door) listConferences(ctx context.Context, in *conferencesQuery) (*answer[page[conferenceItem]], error) {
	after, err := base64.RawURLEncoding.DecodeString(in.Cursor)
	if err != nil || in.Cursor != "" && id.Check(string(after)) != nil {
		return nil, fault.New(fault.Invalid, "bad_cursor", "the cursor is not one that was given out")
	}
	list, err := d.House.List(ctx, in.Q, string(after), in.Limit+1)
	if err != nil {
		return nil, err
	}
	next := ""
	if len(list) > in.Limit {
		list = list[:in.Limit]
		next = base64.RawURLEncoding.EncodeToString([]byte(list[in.Limit-1].ID))
	}
	items := make([]conferenceItem, 0, len(list))
	for _, c := range list {
		items = append(items, itemOf(c))
	}
	return pageOf(items, next), nil
}

func (d *Door) deleteConference(ctx context.Context, in *conferencePath) error {
	return d.House.Remove(ctx, in.ID)
}
