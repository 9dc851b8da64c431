package socket

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"

	"rollcall/internal/fault"
	"rollcall/internal/hall"
	"rollcall/internal/id"
	"rollcall/internal/message"
	"rollcall/internal/notice"
	"rollcall/internal/rawjson"
)

// historyBytes bounds what the lines of one answer to chat_history hold together.
const historyBytes = 256 << 10

// maxClientMsgID is how many characters the sender's own number of a message may have.
const maxClientMsgID = 64

var errNobody = fault.New(fault.Forbidden, "forbidden", "say who you are with user_login first")

// somebody returns the seat as others see it, unless nobody sits in it.
func (s *seat) somebody() (hall.Socket, error) {
	me := s.socket()
	if me.UserID == "" {
		return hall.Socket{}, errNobody
	}
	return me, nil
}

// room returns the conference in which the seat speaks and listens, "" for the lobby.
func (s *seat) room() string {
	place, err := s.place()
	if err != nil {
		return ""
	}
	return place
}

// checkLimit checks how many items of a list are wanted; 0 is the usual number.
func checkLimit(limit int) error {
	if limit < 0 || limit > rosterMost {
		return fault.Invalidf("limit must be 1 to %d", rosterMost)
	}
	return nil
}

// textOrObject reports why what a client has to say can be neither.
func textOrObject(arg json.RawMessage) error {
	if arg = bytes.TrimSpace(arg); len(arg) == 0 || arg[0] != '"' && arg[0] != '{' {
		return fault.Invalidf("the argument must be a string or an object")
	}
	return nil
}

// onChat says something to everybody in the room.
func (s *seat) onChat(arg json.RawMessage) (answer, error) {
	if err := textOrObject(arg); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
	defer cancel()
	noticeID, err := s.door.messages.Chat(ctx, s.socket(), s.room(), arg)
	if err != nil {
		return nil, err
	}
	return answer{"id": noticeID}, nil
}

// chatLine is something that was said, as chat_history tells it.
type chatLine struct {
	Body     json.RawMessage `json:"body"`
	ID       string          `json:"id"`
	UserID   string          `json:"userId"`
	UserName string          `json:"userName"`
	At       int64           `json:"at"`
}

func lineOf(l notice.ChatLine) chatLine { return chatLine{l.Body, l.ID, l.UserID, l.UserName, l.At} }

func (s *seat) onChatHistory(arg json.RawMessage) (answer, error) {
	var in struct {
		Before string `json:"before"`
		Limit  int    `json:"limit"`
	}
	if err := decode(arg, &in); err != nil {
		return nil, err
	}
	if err := checkLimit(in.Limit); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
	defer cancel()
	list, next, err := s.door.Notices.ChatHistory(ctx, s.room(), in.Before, in.Limit)
	if err != nil {
		return nil, err
	}
	items, size := make([]chatLine, 0, len(list)), 0
	for _, l := range list {
		if size += len(l.Body); size > historyBytes && len(items) > 0 {
			next = items[len(items)-1].ID
			break
		}
		items = append(items, lineOf(l))
	}
	return answer{"items": items, "next": nullable(next)}, nil
}

// onDirect says something to one other user.
func (s *seat) onDirect(arg json.RawMessage) (answer, error) {
	me, err := s.somebody()
	if err != nil {
		return nil, err
	}
	var in struct {
		To          id.ID           `json:"to"`
		Body        json.RawMessage `json:"body"`
		ClientMsgID id.ID           `json:"clientMsgId"`
	}
	if err := decode(arg, &in); err != nil {
		return nil, err
	}
	number := string(in.ClientMsgID)
	switch {
	case rawjson.Blank(in.Body):
		return nil, fault.Invalidf("body is missing")
	case utf8.RuneCountInString(number) > maxClientMsgID || strings.ContainsFunc(number, unicode.IsControl):
		return nil, fault.Invalidf("clientMsgId may have at most %d characters, none of them a control character", maxClientMsgID)
	}
	if err := checkAddressee("to", in.To); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
	defer cancel()
	told, err := s.door.messages.Direct(ctx, me, string(in.To), in.Body, number)
	if err != nil {
		return nil, err
	}
	a := toldAnswer(told)
	if told.Delivered == 0 {
		a["reason"] = "offline"
	}
	return a, nil
}

// onTodo gives a task to a user.
func (s *seat) onTodo(arg json.RawMessage) (answer, error) {
	me, err := s.somebody()
	if err != nil {
		return nil, err
	}
	var in struct {
		ReceiverID id.ID `json:"receiver_id"`
	}
	if err := decode(arg, &in); err != nil {
		return nil, err
	}
	if err := checkAddressee("receiver_id", in.ReceiverID); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
	defer cancel()
	told, err := s.door.messages.Todo(ctx, me, string(in.ReceiverID), arg)
	if err != nil {
		return nil, err
	}
	return toldAnswer(told), nil
}

func toldAnswer(t message.Told) answer {
	return answer{"id": t.ID, "delivered": t.Delivered, "queued": t.Queued}
}

// checkAddressee reports why an id names nobody to whom something could be said.
func checkAddressee(field string, user id.ID) error {
	if id.Nobody(string(user)) {
		return fault.Invalidf("%s is missing", field)
	}
	if err := id.Check(string(user)); err != nil {
		return fault.Invalidf("%s %v", field, err)
	}
	return nil
}
