package message

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"rollcall/internal/fault"
	"rollcall/internal/hall"
	"rollcall/internal/id"
	"rollcall/internal/notice"
	"rollcall/internal/rawjson"
)

// fromSocket is the actor of what clients say.
const fromSocket = "socket"

// maxNumber is the most characters of a sender's own number: the width of its column.
const maxNumber = 64

// Told is what became of something that one user said to another.
type Told struct {
	ID        string
	Delivered int  // sockets
	Queued    bool // it waits for him
}

// Direct stores a message to a user and hands it to his sockets. senderMsgID, if any, is the sender's own number for
// it: the same number again is the same message. body is JSON. Nobody and ids that are none are faults.
func (m *Messages) Direct(ctx context.Context, from hall.Socket, to string, body json.RawMessage, senderMsgID string) (Told, error) {
	switch {
	case len(body) == 0 || !json.Valid(body):
		return Told{}, fault.Invalidf("a message needs a body")
	case !utf8.ValidString(senderMsgID) || utf8.RuneCountInString(senderMsgID) > maxNumber:
		return Told{}, fault.Invalidf("clientMsgId may have at most %d characters", maxNumber)
	}
	note := Note{Event: directEvent, Category: "mailbox"}
	_ = json.Unmarshal(body, &note.Body) // text stands in the notice as such, anything else only as data
	at := m.now()
	return m.tell(ctx, from, said{to: to, note: note, at: at, senderMsgID: senderMsgID, payload: func(noticeID string) (json.RawMessage, error) {
		return encode(struct {
			ID       string          `json:"id"`
			From     string          `json:"from"`
			FromName string          `json:"fromName"`
			Body     json.RawMessage `json:"body"`
			At       int64           `json:"at"`
		}{noticeID, from.UserID, from.UserName, body, at})
	}})
}

// Todo stores a task for a user and hands it to his sockets. fields is the object as the sender gave it.
func (m *Messages) Todo(ctx context.Context, from hall.Socket, receiver string, fields json.RawMessage) (Told, error) {
	if _, ok := rawjson.Object(fields); !ok {
		return Told{}, fault.Invalidf("a task must be an object")
	}
	at := m.now()
	return m.tell(ctx, from, said{to: receiver, note: Note{Event: todoEvent, Category: "remind"}, at: at, payload: func(noticeID string) (json.RawMessage, error) {
		own, err := encode(struct {
			ID        string `json:"id"`
			SenderID  string `json:"senderId"`
			CreatedAt int64  `json:"createdAt"`
		}{noticeID, from.UserID, at})
		if err != nil {
			return nil, err
		}
		return extend(fields, own)
	}})
}

// said is what one user says to another. payload makes what his sockets get.
type said struct {
	to          string
	note        Note
	at          int64
	senderMsgID string
	payload     func(noticeID string) (json.RawMessage, error)
}

// tell stores what a user says and hands it to the other.
func (m *Messages) tell(ctx context.Context, from hall.Socket, s said) (Told, error) {
	if from.UserID == "" {
		return Told{}, fault.New(fault.Forbidden, "forbidden", "say who you are with user_login first")
	}
	if err := id.Check(s.to); err != nil {
		return Told{}, fault.Invalidf("the receiver's id %v", err)
	}
	n := s.note
	n.ID, n.SenderID, n.SenderName, n.CreatedAt = id.New(), from.UserID, from.UserName, s.at
	e := notice.Entry{
		ID: n.ID, SenderID: n.SenderID, SenderName: n.SenderName, Actor: fromSocket, Event: n.Event, Category: n.Category, Audience: 1,
		FromIP: from.IP, CreatedAt: s.at, SentAt: s.at, Stored: true,
	}
	var err error
	if e.Message, err = s.payload(n.ID); err != nil {
		return Told{}, err
	}
	if e.Envelope, err = encode(n); err != nil {
		return Told{}, err
	}
	if e.Online, err = m.online(ctx); err != nil {
		return Told{}, err
	}
	to := hall.Audience{Users: []string{s.to}}
	done, err := m.send(ctx, letter{entry: e, frame: frameOf(e), to: to, users: to.Users, senderMsgID: s.senderMsgID, kind: n.Event})
	if err != nil {
		return Told{}, fmt.Errorf("tell a user: %w", err)
	}
	return Told{ID: done.ID, Delivered: done.sockets, Queued: done.sockets == 0}, nil
}

// extend returns an object with the fields of another behind its own, and instead of those of the same names. Its own
// keep their text and their order.
func extend(object, by json.RawMessage) (json.RawMessage, error) {
	mine, err := fieldsOf(object)
	if err != nil {
		return nil, err
	}
	others, err := fieldsOf(by)
	if err != nil {
		return nil, err
	}
	mine = slices.DeleteFunc(mine, func(f field) bool {
		return slices.ContainsFunc(others, func(o field) bool { return o.name == f.name })
	})
	var b bytes.Buffer
	for i, f := range append(mine, others...) {
		b.WriteByte("{,"[min(i, 1)])
		name, err := encode(f.name)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(f.value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// field is a field of an object; value is as it was written.
type field struct {
	name  string
	value json.RawMessage
}

func fieldsOf(object json.RawMessage) ([]field, error) {
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("read an object: %w", err)
	}
	var list []field
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("read the name of a field: %w", err)
		}
		f := field{name: fmt.Sprint(name)}
		if err := d.Decode(&f.value); err != nil {
			return nil, fmt.Errorf("read a field: %w", err)
		}
		list = append(list, f)
	}
	return list, nil
}
