package rest

import (
	"context"
	"net/http"

	"rollcall/internal/presence"
)

type device struct {
	SessionID   string `json:"sessionId"`
	ClientType  string `json:"clientType"`
	DeviceID    string `json:"deviceId"`
	ConnectedAt int64  `json:"connectedAt" doc:"Milliseconds since 1970"`
	IP          string `json:"ip"`
	Node        string `json:"node"`
}

func devicesOf(list []presence.Device) []device {
	out := make([]device, 0, len(list))
	for _, d := range list {
		out = append(out, device{d.SessionID, d.ClientType, d.DeviceID, d.ConnectedAt, d.IP, d.NodeID})
	}
	return out
}

type rosterEntry struct {
	UserID   string   `json:"userId"`
	UserName string   `json:"userName"`
	Role     string   `json:"role" doc:"Blank for who is no member"`
	Attrs    object   `json:"attrs"`
	State    string   `json:"state" enum:"online,reconnecting,absent,excused"`
	Since    int64    `json:"since" doc:"Milliseconds since 1970"`
	Devices  []device `json:"devices" nullable:"false"`
}

type presenceState struct {
	ConferenceID  string        `json:"conferenceId"`
	RosterVersion int64         `json:"rosterVersion"`
	Version       int64         `json:"version" doc:"Of the tree"`
	Online        int           `json:"online" doc:"People online or reconnecting"`
	Expected      int           `json:"expected"`
	Excused       int           `json:"excused"`
	Users         []rosterEntry `json:"users" nullable:"false"`
	More          bool          `json:"more" doc:"There are more users than are listed"`
}

func stateOf(conferenceID string, r presence.Roster) presenceState {
	s := presenceState{
		ConferenceID: conferenceID, RosterVersion: r.Versions.Roster, Version: r.Versions.Tree,
		Online: r.Online, Expected: r.Expected, Excused: r.Excused, Users: make([]rosterEntry, 0, len(r.Users)), More: r.More,
	}
	for _, e := range r.Users {
		s.Users = append(s.Users, rosterEntry{e.UserID, e.UserName, e.Role, object(e.Attrs), string(e.State), e.Since, devicesOf(e.Devices)})
	}
	return s
}

type stay struct {
	ConferenceID string   `json:"conferenceId"`
	State        string   `json:"state" enum:"online,reconnecting"`
	Since        int64    `json:"since" doc:"Milliseconds since 1970"`
	Devices      []device `json:"devices" nullable:"false"`
}

type userPresence struct {
	UserID      string `json:"userId"`
	UserName    string `json:"userName"`
	Conferences []stay `json:"conferences" nullable:"false"`
}

func presenceOf(u presence.UserPresence) userPresence {
	out := userPresence{u.UserID, u.UserName, make([]stay, 0, len(u.Conferences))}
	for _, s := range u.Conferences {
		out.Conferences = append(out.Conferences, stay{s.ConferenceID, string(s.State), s.Since, devicesOf(s.Devices)})
	}
	return out
}

func presencesOf(list []presence.UserPresence) []userPresence {
	out := make([]userPresence, 0, len(list))
	for _, u := range list {
		out = append(out, presenceOf(u))
	}
	return out
}

type node struct {
	ID          string `json:"id"`
	Epoch       int64  `json:"epoch"`
	State       string `json:"state" enum:"up,dead,stopped"`
	HeartbeatAt int64  `json:"heartbeatAt" doc:"Milliseconds since 1970"`
	Sockets     int64  `json:"sockets"`
}

func nodesOf(list []presence.Node) []node {
	out := make([]node, 0, len(list))
	for _, n := range list {
		out = append(out, node{n.ID, n.Epoch, n.State, n.HeartbeatAt, n.Sockets})
	}
	return out
}

type summary struct {
	Sockets     int            `json:"sockets"`
	Users       int            `json:"users"`
	Conferences int            `json:"conferences"`
	Nodes       []node         `json:"nodes" nullable:"false"`
	ClientTypes map[string]int `json:"clientTypes" doc:"Sockets by client type"`
}

// items is a list that is always whole.
type items[T any] struct {
	Items []T `json:"items" nullable:"false"`
}

type queryInput struct {
	Body struct {
		Users []ref `json:"users" maxItems:"1000" nullable:"false"`
	}
}

type rosterQuery struct {
	ID string `path:"id"`
	At int64  `query:"at" minimum:"0" doc:"Milliseconds since 1970; now if left out or still to come"`
}

func (d *Door) presences() {
	register(d, operation{id: "get-conference-presence", role: viewer, method: http.MethodGet, path: "/conferences/{id}/presence", tag: "presence", summary: "Who is in a conference, or was",
		detail: "As presence_state, with address and node of every device. With at it is what the sessions on record tell of that moment; members and names are those of today, and the versions are 0."}, d.getRoster)
	register(d, operation{id: "get-user-presence", role: viewer, method: http.MethodGet, path: "/users/{id}/presence", tag: "presence", summary: "Where a user is"}, d.getUserPresence)
	register(d, operation{id: "list-presence", role: viewer, method: http.MethodGet, path: "/presence", tag: "presence", summary: "Everybody who is online, in the order of their ids"}, d.listPresence)
	register(d, operation{id: "query-presence", role: viewer, method: http.MethodPost, path: "/presence/query", tag: "presence", summary: "Where several users are", body: fields}, d.queryPresence)
	register(d, operation{id: "get-summary", role: viewer, method: http.MethodGet, path: "/presence/summary", tag: "presence", summary: "Totals of all nodes"}, d.getSummary)
	register(d, operation{id: "list-nodes", role: viewer, method: http.MethodGet, path: "/nodes", tag: "nodes", summary: "Every process that serves or served"}, d.listNodes)
}

func (d *Door) getRoster(ctx context.Context, in *rosterQuery) (*answer[presenceState], error) {
	r, err := d.rosterOf(ctx, in)
	if err != nil {
		return nil, err
	}
	return ok(stateOf(in.ID, r)), nil
}

func (d *Door) rosterOf(ctx context.Context, in *rosterQuery) (presence.Roster, error) {
	if in.At == 0 {
		return d.House.State(ctx, in.ID)
	}
	now, err := d.DB.Now(ctx)
	if err != nil {
		return presence.Roster{}, err
	}
	if in.At >= now {
		return d.House.State(ctx, in.ID)
	}
	return d.Presence.RosterAt(ctx, in.ID, in.At, d.House.DetailMax)
}

func (d *Door) getUserPresence(ctx context.Context, in *userPath) (*answer[userPresence], error) {
	u, err := d.Presence.OfUser(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return ok(presenceOf(u)), nil
}

func (d *Door) listPresence(ctx context.Context, in *struct{ Paging }) (*answer[page[userPresence]], error) {
	list, next, err := d.Presence.Online(ctx, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	return pageOf(presencesOf(list), next), nil
}

func (d *Door) queryPresence(ctx context.Context, in *queryInput) (*answer[items[userPresence]], error) {
	users, err := userIDs("body.users", in.Body.Users)
	if err != nil {
		return nil, err
	}
	list, err := d.Presence.Query(ctx, users)
	if err != nil {
		return nil, err
	}
	return ok(items[userPresence]{presencesOf(list)}), nil
}

func (d *Door) getSummary(ctx context.Context, _ *struct{}) (*answer[summary], error) {
	s, err := d.Presence.Summary(ctx)
	if err != nil {
		return nil, err
	}
	return ok(summary{s.Sockets, s.Users, s.Conferences, nodesOf(s.Nodes), s.ClientTypes}), nil
}

func (d *Door) listNodes(ctx context.Context, _ *struct{}) (*answer[items[node]], error) {
	list, err := d.Presence.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	return ok(items[node]{nodesOf(list)}), nil
}
