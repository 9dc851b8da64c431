package rest

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"gorm.io/gorm"

	"rollcall/internal/conference"
	"rollcall/internal/fault"
	"rollcall/internal/presence"
)

type timerInput struct {
	ID   string `path:"id"`
	Body struct {
		Action     string `json:"action" enum:"start,pause,resume,extend,reset"`
		DurationMs *int64 `json:"durationMs,omitempty" minimum:"1" maximum:"604800000" doc:"How long it runs, for start; how much longer, for extend"`
	}
}

type timed struct {
	ConferenceID string  `json:"conferenceId"`
	Version      int64   `json:"version" doc:"Of the tree"`
	Timer        section `json:"timer" doc:"The section timer: state, durationMs, endsAt while it runs, else remainingMs, and what the backend keeps there"`
}

// section is a section of the tree, kept as it is written there. It is also read back, when an answer is given again.
type section json.RawMessage

// MarshalJSON implements json.Marshaler.
func (s section) MarshalJSON() ([]byte, error) { return s, nil }

// UnmarshalJSON implements json.Unmarshaler.
func (s *section) UnmarshalJSON(b []byte) error {
	*s = append((*s)[:0], b...)
	return nil
}

// Schema implements huma.SchemaProvider.
func (section) Schema(huma.Registry) *huma.Schema { return &huma.Schema{} }

type signInInput struct {
	ID   string `path:"id"`
	Body struct {
		UserID ref `json:"userId"`
	}
}

type signedIn struct {
	UserID   string `json:"userId"`
	SignedAt int64  `json:"signedAt" doc:"When he signed in first, in milliseconds since 1970"`
}

type screenInput struct {
	ID   string `path:"id"`
	Body struct {
		Action    string `json:"action" enum:"start,end"`
		UserID    ref    `json:"userId,omitempty" doc:"Who shares; at the end it may be left out and means whoever does"`
		SessionID ref    `json:"sessionId,omitempty" doc:"His open session in this conference: the sharing ends with it. Without one it ends when he goes offline"`
	}
}

type screenShared struct {
	ConferenceID string `json:"conferenceId"`
	Version      int64  `json:"version" doc:"Of the tree"`
}

func (d *Door) timers() {
	const path = "/conferences/{id}"
	register(d, operation{id: "command-timer", role: backend, method: http.MethodPost, path: path + "/timer", tag: "tree", summary: "Command the timer", body: fields, errors: []int{http.StatusConflict, http.StatusRequestEntityTooLarge},
		detail: "Start needs durationMs, and so does extend. A command that does not fit the state is a conflict. A running timer is finished by the service at its end."}, d.commandTimer)
	register(d, operation{id: "sign-in", role: backend, method: http.MethodPost, path: path + "/sign-in", tag: "tree", summary: "Sign a user in", body: fields, errors: []int{http.StatusConflict},
		detail: "Again is answered with the first time."}, d.signIn)
	register(d, operation{id: "same-screen", role: backend, method: http.MethodPost, path: path + "/same-screen", tag: "tree", summary: "Start or end sharing a screen", body: fields, errors: []int{http.StatusConflict},
		detail: "A conflict if somebody else shares."}, d.sameScreen)
}

func (d *Door) commandTimer(ctx context.Context, in *timerInput) (*answer[timed], error) {
	var done conference.Timed
	err := d.DB.Write(ctx, func(ctx context.Context, _ *gorm.DB) (err error) {
		if done, err = d.House.Timer(ctx, in.ID, in.Body.Action, in.Body.DurationMs); err != nil {
			return err
		}
		return d.audit(ctx, in.ID, act{Action: "timer." + in.Body.Action, Version: done.Version})
	})
	if err != nil {
		return nil, err
	}
	return ok(timed{in.ID, done.Version, section(done.Timer)}), nil
}

func (d *Door) signIn(ctx context.Context, in *signInInput) (*answer[signedIn], error) {
	user := string(in.Body.UserID)
	if err := checkUser("body.userId", user); err != nil {
		return nil, err
	}
	out := signedIn{UserID: user}
	err := d.DB.Write(ctx, func(ctx context.Context, _ *gorm.DB) (err error) {
		if out.SignedAt, err = d.House.SignIn(ctx, in.ID, user, nil); err != nil {
			return err
		}
		return d.audit(ctx, in.ID, act{Action: "sign_in", UserID: user})
	})
	if err != nil {
		return nil, err
	}
	return ok(out), nil
}

func (d *Door) sameScreen(ctx context.Context, in *screenInput) (*answer[screenShared], error) {
	user, session := string(in.Body.UserID), string(in.Body.SessionID)
	start := in.Body.Action == "start"
	if start || user != "" {
		if err := checkUser("body.userId", user); err != nil {
			return nil, err
		}
	}
	if !start && session != "" {
		return nil, fault.Invalidf("sessionId goes with start only")
	}
	out := screenShared{ConferenceID: in.ID}
	err := d.DB.Write(ctx, func(ctx context.Context, tx *gorm.DB) (err error) {
		if start {
			err = d.House.Share(ctx, conference.Share{ConferenceID: in.ID, UserID: user, SessionID: session})
		} else {
			err = d.House.EndShare(ctx, in.ID, user, conference.EndedByBackend)
		}
		if err != nil {
			return err
		}
		versions, err := presence.ReadVersions(tx, in.ID)
		if err != nil {
			return err
		}
		out.Version = versions.Tree
		return d.audit(ctx, in.ID, act{Action: "same_screen." + in.Body.Action, UserID: user, SessionID: session, Version: out.Version})
	})
	if err != nil {
		return nil, err
	}
	return ok(out), nil
}
