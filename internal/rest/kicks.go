package rest

import (
	"context"
	"net/http"

	"gorm.io/gorm"
)

// kickedReason is told to whoever is sent away without another reason.
const kickedReason = "kicked"

type kickInput struct {
	ID   string `path:"id"`
	Body struct {
		ConferenceID ref    `json:"conferenceId,omitempty" doc:"Only his sockets there; all of them if left out"`
		Reason       string `json:"reason,omitempty" maxLength:"255" doc:"What his clients are told; kicked if left out"`
		BarSeconds   *int64 `json:"barSeconds,omitempty" minimum:"1" maximum:"31536000" doc:"How long he may not come in again, there or anywhere; not at all if left out"`
	}
}

type kicked struct {
	Kicked int `json:"kicked" doc:"Sockets"`
}

type sessionPath struct {
	ID string `path:"id"`
}

func (d *Door) kicks() {
	register(d, operation{id: "kick-user", role: admin, method: http.MethodPost, path: "/users/{id}/kick", tag: "presence", summary: "Disconnect a user for good", body: fields}, d.kick)
	register(d, operation{id: "purge-node", role: admin, method: http.MethodPost, path: "/nodes/{id}/purge", tag: "nodes", summary: "Close the sessions of a dead node now",
		detail: "They end with the node's last heartbeat, and their users get their grace. A node that was heard of within presence.node_timeout is alive: 409 node_alive.",
		errors: []int{http.StatusNotFound}}, d.purge)
	register(d, operation{id: "disconnect-session", role: admin, method: http.MethodPost, path: "/sessions/{id}/disconnect", tag: "presence", summary: "Disconnect one socket for good"}, d.disconnect)
}

func (d *Door) kick(ctx context.Context, in *kickInput) (*answer[kicked], error) {
	conferenceID, err := optionalConference("body.conferenceId", string(in.Body.ConferenceID))
	if err != nil {
		return nil, err
	}
	reason := in.Body.Reason
	if reason == "" {
		reason = kickedReason
	}
	var n int
	err = d.DB.Write(ctx, func(ctx context.Context, _ *gorm.DB) (err error) {
		a := act{Action: "kick", UserID: in.ID, ConferenceID: conferenceID, Reason: reason, Kicked: &n}
		if in.Body.BarSeconds != nil {
			a.BarSeconds = *in.Body.BarSeconds
			if err := d.bar(ctx, in.ID, conferenceID, a.BarSeconds); err != nil {
				return err
			}
		}
		if n, err = d.House.Kick(ctx, in.ID, conferenceID, reason); err != nil {
			return err
		}
		return d.audit(ctx, conferenceID, a)
	})
	if err != nil {
		return nil, err
	}
	return ok(kicked{n}), nil
}

func (d *Door) bar(ctx context.Context, userID, conferenceID string, seconds int64) error {
	now, err := d.DB.Now(ctx)
	if err != nil {
		return err
	}
	return d.Presence.Bar(ctx, userID, conferenceID, now+seconds*1000)
}

type nodePath struct {
	ID string `path:"id"`
}

type purged struct {
	Closed int `json:"closed" doc:"Sessions"`
}

func (d *Door) purge(ctx context.Context, in *nodePath) (*answer[purged], error) {
	var n int
	err := d.DB.Write(ctx, func(ctx context.Context, _ *gorm.DB) (err error) {
		if n, err = d.Presence.Purge(ctx, in.ID); err != nil {
			return err
		}
		return d.audit(ctx, "", act{Action: "purge", NodeID: in.ID, Closed: &n})
	})
	if err != nil {
		return nil, err
	}
	return ok(purged{n}), nil
}

func (d *Door) disconnect(ctx context.Context, in *sessionPath) (*answer[kicked], error) {
	var n int
	err := d.DB.Write(ctx, func(ctx context.Context, _ *gorm.DB) error {
		n = 0
		found, err := d.House.Disconnect(ctx, in.ID, kickedReason)
		if err != nil {
			return err
		}
		if found {
			n = 1
		}
		return d.audit(ctx, "", act{Action: "disconnect", SessionID: in.ID, Kicked: &n})
	})
	if err != nil {
		return nil, err
	}
	return ok(kicked{n}), nil
}
