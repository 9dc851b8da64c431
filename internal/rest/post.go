package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/id"
	"rollcall/internal/message"
)

const (
	maxText        = 65536 // bytes of data and body together
	maxClientTypes = 16
	maxAhead       = 365 * 24 * time.Hour // from now to sendAt
	plainNotice    = "notice"             // the event of a notice that has no name of its own
	attendLogin    = "attend_login"       // delivered to who is there, and kept nowhere
)

type postInput struct {
	Body struct {
		Event      string          `json:"event,omitempty" default:"notice" minLength:"1" doc:"notice, or a name of your own"`
		Raw        bool            `json:"raw,omitempty" doc:"Emit data and the rest of the notice as two arguments, also under the name notice"`
		Category   string          `json:"category,omitempty" default:"system" enum:"announcement,remind,subscription,publication,system,mailbox"`
		To         addressees      `json:"to,omitempty" doc:"Exactly one of users, conference and all"`
		Except     []ref           `json:"except,omitempty" maxItems:"10000" nullable:"false" doc:"Who does not get it"`
		ClientType []ref           `json:"clientTypes,omitempty" maxItems:"16" nullable:"false" doc:"Only for sockets of these types"`
		Conference ref             `json:"conferenceId,omitempty" doc:"Only for sockets that are there"`
		Title      string          `json:"title,omitempty" maxLength:"255"`
		Text       string          `json:"body,omitempty" doc:"With data at most 65536 bytes"`
		Data       json.RawMessage `json:"data,omitempty" doc:"Any JSON, handed on untouched"`
		Store      *bool           `json:"store,omitempty" doc:"true if left out; false reaches only who is online"`
		RequireAck bool            `json:"requireAck,omitempty" doc:"Sent again until a client acknowledges it"`
		TTL        *int64          `json:"ttlSeconds,omitempty" minimum:"1" maximum:"31536000" doc:"When it expires, counted from when it is sent"`
		SendAt     int64           `json:"sendAt,omitempty" minimum:"0" doc:"Milliseconds since 1970, at most a year ahead; now if left out or past"`
		Unreached  *int64          `json:"unreachedAfterSeconds,omitempty" minimum:"1" maximum:"604800" doc:"When the backend is told whom it did not reach"`
		Label      ref             `json:"label,omitempty" doc:"Kept in the log"`
		SendType   ref             `json:"sendType,omitempty" doc:"Kept in the log"`
		SenderID   ref             `json:"senderId,omitempty" doc:"Who sends; may be left out"`
	}
}

type addressees struct {
	Users      []ref `json:"users,omitempty" maxItems:"10000" nullable:"false"`
	Conference ref   `json:"conference,omitempty" doc:"Its registered members, or without any who is online in it"`
	All        bool  `json:"all,omitempty" doc:"Everybody, also who comes before it expires"`
}

type posted struct {
	ID       string `json:"id"`
	Audience int    `json:"audience" doc:"Users addressed"`
	Online   int    `json:"online" doc:"Those of them with an open socket that it was sent to"`
	Queued   int    `json:"queued" doc:"The rest, if it is stored"`
}

func (d *Door) posts() {
	register(d, operation{id: "post-notice", role: backend, method: http.MethodPost, path: "/notices", tag: "notices", summary: "Say something to users, to the members of a conference, or to everybody",
		detail: "202 means that it is stored.", status: http.StatusAccepted, body: carrying}, d.postNotice)
	registerDelete(d, operation{id: "delete-notice", role: backend, path: "/notices/{id}", tag: "notices", summary: "Take a notice back",
		detail: "Out of every inbox; who has it is told. Its row in the log stays. What nobody can have in an inbox, chat and pushes and audit rows among it, cannot be taken back (409).",
		errors: []int{http.StatusNotFound, http.StatusConflict}}, d.deleteNotice)
}

func (d *Door) postNotice(ctx context.Context, in *postInput) (*answer[posted], error) {
	n, err := in.notice(time.Now())
	if err != nil {
		return nil, err
	}
	v := visitOf(ctx)
	n.Actor, n.FromIP = v.caller.Name, v.address
	sent, err := d.Messages.Send(ctx, n)
	if err != nil {
		return nil, err
	}
	return ok(posted{sent.ID, sent.Audience, sent.Online, sent.Queued}), nil
}

// foresee has the meeting backend asked who the members of a conference are. The handler asks again, and is told at once.
func (in *postInput) foresee(ctx context.Context, d *Door) {
	if place, err := optionalConference("", string(in.Body.To.Conference)); err == nil && place != "" {
		_, _ = d.House.Members(ctx, place, string(in.Body.SenderID))
	}
}

// notice returns what is asked for, or why it cannot be.
func (in *postInput) notice(now time.Time) (message.Notice, error) {
	b := &in.Body
	n := message.Notice{
		SenderID: string(b.SenderID), Event: b.Event, Raw: b.Raw, Category: b.Category, Title: b.Title, Body: b.Text, Data: b.Data,
		Transient: b.Store != nil && !*b.Store || b.Event == attendLogin, RequireAck: b.RequireAck,
		TTL: seconds(b.TTL), SendAt: b.SendAt, UnreachedAfter: seconds(b.Unreached), Label: string(b.Label), SendType: string(b.SendType),
	}
	if err := checkNoticeEvent(n.Event); err != nil {
		return n, err
	}
	if err := in.address(&n); err != nil {
		return n, err
	}
	if n.SenderID != "" {
		if err := checkUser("body.senderId", n.SenderID); err != nil {
			return n, err
		}
	}
	if err := checkMarks(n.SendType, "label", n.Label); err != nil {
		return n, err
	}
	if len(n.Data)+len(n.Body) > maxText {
		return n, fault.New(fault.TooLarge, "too_large", fmt.Sprintf("data and body may have at most %d bytes together", maxText))
	}
	return n, checkTimes(n, now)
}

// checkNoticeEvent reports why name cannot be the event of a notice.
func checkNoticeEvent(name string) error {
	switch name {
	case plainNotice:
		return nil
	case "note_tree": // of a push it means another thing, see message.Push
		return reservedEvent("event")
	}
	return checkEvent("event", name)
}

// address fills in whom a notice is for.
func (in *postInput) address(n *message.Notice) (err error) {
	to := in.Body.To
	if n.Conference, err = optionalConference("body.to.conference", string(to.Conference)); err != nil {
		return err
	}
	n.All = to.All
	ways := 0
	for _, given := range []bool{to.Users != nil, n.Conference != "", n.All} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return fault.New(fault.Invalid, "bad_audience", "to must have exactly one of users, conference and all")
	}
	if n.Users, err = userIDs("body.to.users", to.Users); err != nil {
		return err
	}
	if to.Users != nil && len(n.Users) == 0 {
		return fault.New(fault.Invalid, "empty_audience", "to names nobody")
	}
	if n.Except, err = userIDs("body.except", in.Body.Except); err != nil {
		return err
	}
	if n.ConferenceID, err = optionalConference("body.conferenceId", string(in.Body.Conference)); err != nil {
		return err
	}
	for i, kind := range in.Body.ClientType {
		if err := id.Check(string(kind)); err != nil {
			return badID(fmt.Sprintf("body.clientTypes[%d]", i), err)
		}
		n.ClientTypes = append(n.ClientTypes, string(kind))
	}
	return nil
}

func checkTimes(n message.Notice, now time.Time) error {
	if n.SendAt > now.Add(maxAhead).UnixMilli() {
		return fault.Invalidf("sendAt may be at most a year ahead")
	}
	if n.SendAt != 0 && n.TTL != 0 && n.SendAt+n.TTL.Milliseconds() <= now.UnixMilli() {
		return fault.New(fault.Invalid, "expired", "sendAt and ttlSeconds end before now")
	}
	return nil
}

// seconds is n seconds, 0 if it was left out.
func seconds(n *int64) time.Duration {
	if n == nil {
		return 0
	}
	return time.Duration(*n) * time.Second
}

func (d *Door) deleteNotice(ctx context.Context, in *noticePath) error {
	return d.DB.Write(ctx, func(ctx context.Context, _ *gorm.DB) error {
		switch e, err := d.Notices.Get(ctx, in.ID); {
		case err != nil:
			return err
		case e.Category == "": // the log keeps more than notices, and what it says of itself stays as it is
			return fault.New(fault.Conflict, "conflict", "this row of the log is no notice")
		}
		if err := d.Messages.Recall(ctx, in.ID); err != nil {
			return err
		}
		return d.audit(ctx, "", act{Action: "notice.recall", NoticeID: in.ID})
	})
}
