package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"rollcall/internal/fault"
	"rollcall/internal/message"
)

// maxEvent is the most characters of an event's name: what the log keeps.
const maxEvent = 64

// reserved are the events with a meaning of their own: those of the protocol, of this service, and of the library.
var reserved = strings.Split("welcome,note_tree_patch,online_notice,offline_notice,presence_state,presence_diff,notice,notice_recalled,push_message,"+
	"todo_message,receive_message,chat message,direct_message,timer_finished,conference_ended,kicked,server_draining,"+
	"jywsping,roster,user_login,receive_client_event,chat_history,todo,notice_ack,notice_read,inbox,tree_resync,sign_in,same_screen,"+
	"leave,watch,unwatch,reauth,audit,"+
	"connect,connect_error,disconnect,disconnecting,error,ping,pong,newListener,removeListener", ",")

// checkEvent reports why name, which stands in field, cannot be the event of a push.
func checkEvent(field, name string) error {
	if name == "" || utf8.RuneCountInString(name) > maxEvent || strings.ContainsFunc(name, unicode.IsControl) {
		return fault.New(fault.Invalid, "bad_event", field+" must be the name of an event: 1 to 64 characters without control characters")
	}
	if slices.Contains(reserved, name) || strings.HasPrefix(name, "reconnect") {
		return reservedEvent(field)
	}
	return nil
}

func reservedEvent(field string) error {
	return fault.New(fault.Invalid, "reserved_event", field+" is an event with a meaning of its own")
}

// pushInput ignores fields that it does not know: it is the shape of an older service.
type pushInput struct {
	Body struct {
		_            struct{}        `additionalProperties:"true"`
		SendUserID   ref             `json:"sendUserId,omitempty" doc:"Who sends; may be left out"`
		UserIDs      []ref           `json:"userIds,omitempty" maxItems:"10000" nullable:"false" doc:"Who is addressed; nobody if left out"`
		Message      json.RawMessage `json:"message,omitempty" doc:"Any JSON, emitted untouched; null if left out"`
		Destination  string          `json:"destination" doc:"Name of the event. note_tree pushes the tree of the conference instead. attend_login is not logged."`
		ConferenceID ref             `json:"conferenceId,omitempty" doc:"Only to sockets there; 0 or nothing: wherever they are"`
		SendType     ref             `json:"sendType,omitempty" doc:"Kept in the log"`
		ValueName    ref             `json:"valueName,omitempty" doc:"Label, kept in the log"`
	}
}

type pushAllInput struct {
	Body struct {
		_           struct{}        `additionalProperties:"true"`
		Message     json.RawMessage `json:"message,omitempty" doc:"Any JSON, emitted untouched; null if left out"`
		Destination string          `json:"destination" doc:"Name of the event"`
	}
}

type pushed struct {
	ID       string `json:"id" doc:"Of the row in the log"`
	Audience int    `json:"audience" doc:"Users addressed"`
	Online   int    `json:"online" doc:"Those of them with an open socket that it was sent to"`
}

func (d *Door) pushes() {
	register(d, operation{id: "push", role: backend, method: http.MethodPost, path: "/push", tag: "push", summary: "Send an event to some users who are online", status: http.StatusAccepted, body: loose,
		detail: "Nothing is kept for who is not online. Unknown fields are ignored."}, d.push)
	register(d, operation{id: "push-all", role: backend, method: http.MethodPost, path: "/push/all", tag: "push", summary: "Send an event to everybody who is online", status: http.StatusAccepted, body: loose,
		detail: "Unknown fields are ignored."}, d.pushAll)
}

func (d *Door) push(ctx context.Context, in *pushInput) (*answer[pushed], error) {
	b := in.Body
	p := d.pushFrom(ctx, b.Destination, b.Message)
	p.SenderID, p.SendType, p.Label = string(b.SendUserID), string(b.SendType), string(b.ValueName)
	var err error
	if p.SenderID != "" {
		if err = checkUser("body.sendUserId", p.SenderID); err != nil {
			return nil, err
		}
	}
	if p.Users, err = userIDs("body.userIds", b.UserIDs); err != nil {
		return nil, err
	}
	if p.ConferenceID, err = optionalConference("body.conferenceId", string(b.ConferenceID)); err != nil {
		return nil, err
	}
	if err := checkMarks(p.SendType, "valueName", p.Label); err != nil {
		return nil, err
	}
	return d.send(ctx, p)
}

// checkMarks reports why the log cannot keep a type and a label, which stands in field.
func checkMarks(sendType, field, label string) error {
	if utf8.RuneCountInString(sendType) > 64 || utf8.RuneCountInString(label) > 255 {
		return fault.Invalidf("sendType may have at most 64 characters, %s 255", field)
	}
	return nil
}

func (d *Door) pushAll(ctx context.Context, in *pushAllInput) (*answer[pushed], error) {
	p := d.pushFrom(ctx, in.Body.Destination, in.Body.Message)
	p.All = true
	return d.send(ctx, p)
}

func (d *Door) pushFrom(ctx context.Context, event string, said json.RawMessage) message.Push {
	v := visitOf(ctx)
	return message.Push{Actor: v.caller.Name, FromIP: v.address, Event: event, Message: orNull(said)}
}

// orNull returns what was left out as null.
func orNull(text json.RawMessage) json.RawMessage {
	if len(text) == 0 {
		return json.RawMessage("null")
	}
	return text
}

func (d *Door) send(ctx context.Context, p message.Push) (*answer[pushed], error) {
	if err := checkEvent("destination", p.Event); err != nil {
		return nil, err
	}
	done, err := d.Messages.Push(ctx, p)
	if err != nil {
		return nil, err
	}
	return ok(pushed{done.ID, done.Audience, done.Online}), nil
}
