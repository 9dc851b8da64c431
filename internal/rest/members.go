package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/presence"
	"rollcall/internal/rawjson"
	"rollcall/internal/store"
)

// maxAttrs is the most bytes of attrs: what the narrowest database keeps.
const maxAttrs = 65535

// object is a JSON object, kept as it was written.
type object json.RawMessage

// UnmarshalJSON implements json.Unmarshaler.
func (o *object) UnmarshalJSON(b []byte) error {
	*o = append((*o)[:0], b...)
	return nil
}

// MarshalJSON implements json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) {
	if rawjson.Blank(o) {
		return []byte("{}"), nil
	}
	return o, nil
}

// Schema implements huma.SchemaProvider.
func (object) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}

type memberItem struct {
	UserID  string `json:"userId"`
	Name    string `json:"name"`
	Role    string `json:"role" enum:"host,member,observer"`
	Attrs   object `json:"attrs" doc:"Free: title, unit, seat"`
	Sort    int64  `json:"sort"`
	Excused bool   `json:"excused"`
}

func memberOf(m presence.Member) memberItem {
	return memberItem{m.UserID, m.Name, m.Role, object(m.Attrs), m.Sort, m.Excused}
}

// memberEdit is a member as requests say him; what is left out keeps its value, if he is on the list.
type memberEdit struct {
	UserID  ref     `json:"userId"`
	Name    *string `json:"name,omitempty" maxLength:"255" doc:"Shown when neither token nor users table has one"`
	Role    *string `json:"role,omitempty" enum:"host,member,observer" doc:"member if left out"`
	Attrs   object  `json:"attrs,omitempty" doc:"Free: title, unit, seat; at most 65535 bytes"`
	Sort    *int64  `json:"sort,omitempty" doc:"Place in the roster; the place in this list if left out"`
	Excused *bool   `json:"excused,omitempty" doc:"Need not be there"`
}

// apply returns m with what e says.
func (e memberEdit) apply(m presence.Member) presence.Member {
	m.UserID = string(e.UserID)
	set(&m.Name, e.Name)
	set(&m.Role, e.Role)
	set(&m.Sort, e.Sort)
	set(&m.Excused, e.Excused)
	if e.Attrs != nil {
		m.Attrs = json.RawMessage(e.Attrs)
	}
	return m
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

type membersInput struct {
	ID   string `path:"id"`
	Body struct {
		Members []memberEdit `json:"members" nullable:"false"`
	}
}

func (in *membersInput) check() error {
	for i, m := range in.Body.Members {
		if err := checkUser(fmt.Sprintf("body.members[%d].userId", i), string(m.UserID)); err != nil {
			return err
		}
		if len(m.Attrs) > maxAttrs {
			return fault.New(fault.TooLarge, "too_large", fmt.Sprintf("body.members[%d].attrs may have at most %d bytes", i, maxAttrs))
		}
	}
	return nil
}

type membersPut struct {
	Count   int      `json:"count" doc:"Members now on the list"`
	Removed []string `json:"removed" nullable:"false" doc:"Who is no longer on it"`
}

type memberPath struct {
	ID     string `path:"id"`
	UserID string `path:"userId"`
}

type membersQuery struct {
	ID string `path:"id"`
	Paging
}

func (d *Door) members() {
	const path = "/conferences/{id}/members"
	register(d, operation{id: "put-members", role: backend, method: http.MethodPut, path: path, tag: "conferences", summary: "Replace the members list",
		detail: "201 if there was none before.", also: []int{http.StatusCreated}, body: fields}, d.putMembers)
	register(d, operation{id: "post-members", role: backend, method: http.MethodPost, path: path, tag: "conferences", summary: "Add or change some members",
		detail: "Fields that are left out stay as they are. 201 if any of them is new.", also: []int{http.StatusCreated}, body: fields}, d.postMembers)
	register(d, operation{id: "list-members", role: viewer, method: http.MethodGet, path: path, tag: "conferences", summary: "List members in their order"}, d.listMembers)
	registerDelete(d, operation{id: "delete-member", role: backend, path: path + "/{userId}", tag: "conferences", summary: "Take a member off the list",
		errors: []int{http.StatusNotFound}}, d.deleteMember)
}

func (d *Door) putMembers(ctx context.Context, in *membersInput) (*answer[membersPut], error) {
	put := membersPut{Count: len(in.Body.Members)}
	created := false
	err := d.changeMembers(ctx, in.ID, func(ctx context.Context, before []presence.Member) (err error) {
		created = len(before) == 0 && put.Count > 0
		list := make([]presence.Member, 0, put.Count)
		for i, e := range in.Body.Members {
			list = append(list, e.apply(presence.Member{Sort: int64(i)}))
		}
		if put.Removed, err = d.Presence.ReplaceMembers(ctx, in.ID, list); err != nil {
			return err
		}
		return d.House.Dismiss(ctx, in.ID, put.Removed)
	})
	if err != nil {
		return nil, err
	}
	if put.Removed == nil {
		put.Removed = []string{}
	}
	return made(created, put), nil
}

func (d *Door) postMembers(ctx context.Context, in *membersInput) (*answer[membersPut], error) {
	put := membersPut{Removed: []string{}}
	created := 0
	err := d.changeMembers(ctx, in.ID, func(ctx context.Context, before []presence.Member) error {
		known, last := map[string]presence.Member{}, int64(-1)
		for _, m := range before {
			known[m.UserID], last = m, max(last, m.Sort)
		}
		created = 0
		list := make([]presence.Member, 0, len(in.Body.Members))
		for _, e := range in.Body.Members {
			m, ok := known[string(e.UserID)]
			if !ok { // behind all others
				created++
				last++
				m.Sort = last
			}
			list = append(list, e.apply(m))
		}
		put.Count = len(before) + created
		return d.Presence.AddMembers(ctx, in.ID, list)
	})
	if err != nil {
		return nil, err
	}
	return made(created > 0, put), nil
}

// changeMembers lets change work on the list as it is, under the lock of the conference, and has the room told.
func (d *Door) changeMembers(ctx context.Context, conferenceID string, change func(context.Context, []presence.Member) error) error {
	return d.DB.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		if _, err := presence.Lock(ctx, tx, []string{conferenceID}); err != nil {
			return err
		}
		before, _, err := d.Presence.Members(ctx, conferenceID, "", math.MaxInt32)
		if err != nil {
			return err
		}
		d.tellMembers(ctx, conferenceID)
		return change(ctx, before)
	})
}

// tellMembers has the roster pushed after the commit: a change that moves nobody says just "look again".
func (d *Door) tellMembers(ctx context.Context, conferenceID string) {
	store.AfterCommit(ctx, func() { d.House.Show(ctx, conferenceID) })
}

func (d *Door) listMembers(ctx context.Context, in *membersQuery) (*answer[page[memberItem]], error) {
	list, next, err := d.Presence.Members(ctx, in.ID, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	items := make([]memberItem, 0, len(list))
	for _, m := range list {
		items = append(items, memberOf(m))
	}
	return pageOf(items, next), nil
}

func (d *Door) deleteMember(ctx context.Context, in *memberPath) error {
	return d.DB.Write(ctx, func(ctx context.Context, _ *gorm.DB) error {
		d.tellMembers(ctx, in.ID)
		if err := d.Presence.RemoveMember(ctx, in.ID, in.UserID); err != nil {
			return err
		}
		return d.House.Dismiss(ctx, in.ID, []string{in.UserID})
	})
}
