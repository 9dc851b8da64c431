package socket

import (
	"context"
	"encoding/json"
	"log/slog"

	"rollcall/internal/conference"
	"rollcall/internal/fault"
	"rollcall/internal/rawjson"
	"rollcall/internal/webhook"
)

// loggedEvent is how many bytes of a client's own event go into the log.
const loggedEvent = 256

// onClientEvent hands what a client has to say to the meeting backend.
func (s *seat) onClientEvent(arg json.RawMessage) (answer, error) {
	if err := textOrObject(arg); err != nil {
		return nil, err
	}
	who, place := s.person(), s.room()
	s.door.Log.Info("client event", slog.String("user", who.userID), slog.String("conference", place), slog.Int("bytes", len(arg)), slog.String("event", string(arg[:min(len(arg), loggedEvent)])))
	ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
	defer cancel()
	return nil, s.door.Webhooks.Append(ctx, []webhook.Event{{Type: "client.event", ConferenceID: place, At: now(), Data: map[string]any{"userId": who.userID, "event": arg}}})
}

// participant returns who sits in the seat if he is in a conference.
func (s *seat) participant() (person, error) {
	who := s.person()
	switch {
	case s.system:
		return person{}, fault.New(fault.Forbidden, "forbidden", "a system client has no presence")
	case who.userID == "":
		return person{}, errNobody
	case who.conferenceID == "":
		return person{}, errNoConference
	}
	return who, nil
}

// onSignIn signs the user in. Whatever else he sends is for the backend.
func (s *seat) onSignIn(arg json.RawMessage) (answer, error) {
	who, err := s.participant()
	if err != nil {
		return nil, err
	}
	extra, ok := rawjson.Object(arg)
	if !ok && !rawjson.Blank(arg) {
		return nil, fault.Invalidf("the argument must be an object")
	}
	if len(extra) == 0 {
		arg = nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
	defer cancel()
	at, err := s.door.house.SignIn(ctx, who.conferenceID, who.userID, arg)
	if err != nil {
		return nil, err
	}
	return answer{"signedAt": at}, nil
}

// onSameScreen begins or ends a sharing. It belongs to this socket, and ends with it.
func (s *seat) onSameScreen(arg json.RawMessage) (answer, error) {
	who, err := s.participant()
	if err != nil {
		return nil, err
	}
	var in struct {
		Action string `json:"action"`
	}
	if err := decode(arg, &in); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
	defer cancel()
	switch in.Action {
	case "start":
		return nil, s.door.house.Share(ctx, conference.Share{ConferenceID: who.conferenceID, UserID: who.userID, SessionID: who.sessionID, ClientType: s.clientType})
	case "end":
		return nil, s.door.house.EndShare(ctx, who.conferenceID, who.userID, "ended")
	}
	return nil, fault.Invalidf("action must be start or end")
}
