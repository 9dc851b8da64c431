package message

import (
	"cmp"
	"encoding/json"
	"fmt"

	"rollcall/internal/hall"
	"rollcall/internal/notice"
	"rollcall/internal/rawjson"
)

// Events that this package sends.
const (
	noticeEvent  = "notice"
	directEvent  = "direct_message"
	todoEvent    = "todo_message"
	chatEvent    = "chat message"
	receiveEvent = "receive_message"
	treeEvent    = "note_tree"
	inboxEvent   = "push_message"
	recallEvent  = "notice_recalled"
	loginEvent   = "attend_login" // delivered, and in no log
)

// Note is a notice as clients see it.
type Note struct {
	ID           string          `json:"id"`
	Event        string          `json:"event"`
	Category     string          `json:"category"`
	ConferenceID string          `json:"conferenceId"`
	SenderID     string          `json:"senderId"`
	SenderName   string          `json:"senderName"`
	Title        string          `json:"title"`
	Body         string          `json:"body"`
	Data         json.RawMessage `json:"data,omitempty"` // left out in the second argument of raw ones; else null if there is none
	RequireAck   bool            `json:"requireAck"`
	CreatedAt    int64           `json:"createdAt"`
	ExpiresAt    *int64          `json:"expiresAt"` // nil: never
}

// Item is a notice in an inbox.
type Item struct {
	Note
	Read bool `json:"read"`

	waits bool // it is addressed to the user by name and has not reached him yet
}

var null = json.RawMessage("null")

func orNull(data json.RawMessage) json.RawMessage {
	if len(data) == 0 {
		return null
	}
	return data
}

// encode is rawjson.Encode for what can always be encoded once its raw parts are JSON.
func encode(v any) (json.RawMessage, error) {
	text, err := rawjson.Encode(v)
	if err != nil {
		return nil, fmt.Errorf("encode a message: %w", err)
	}
	return text, nil
}

// frame is an event with its arguments. asks says that each socket is asked to acknowledge it.
type frame struct {
	noticeID, event string
	args            []json.RawMessage
	asks            bool
}

// emit hands a frame to sockets and returns whom it reached.
func (m *Messages) emit(to hall.Audience, f frame) []hall.Socket {
	if f.asks {
		return m.Hall.EmitAcked(to, f.noticeID, f.event, f.args...)
	}
	return m.Hall.Emit(to, f.event, f.args...)
}

// frameOf returns how a notice of the log goes out: as itself, or, raw or under a name of the backend's own, as the
// data and then the notice without it. What one user says to another has only its message.
func frameOf(e notice.Entry) frame {
	f := frame{noticeID: e.ID, event: e.Event, args: []json.RawMessage{orNull(e.Message)}, asks: true}
	if len(e.Envelope) > 0 && e.Event != directEvent && e.Event != todoEvent {
		f.args = append(f.args, e.Envelope)
	}
	return f
}

// itemOf returns a notice of the log as it stands in an inbox.
func itemOf(i notice.Item) Item {
	var n Note
	text, data := i.Message, json.RawMessage(nil)
	if len(i.Envelope) > 0 {
		text, data = i.Envelope, i.Message
	}
	if i.Event == directEvent {
		var said struct{ Body json.RawMessage }
		_ = json.Unmarshal(i.Message, &said) // what somebody broke has no body
		data = said.Body
	}
	if err := json.Unmarshal(text, &n); err != nil || n.ID != i.ID { // somebody else wrote the row
		n = Note{ID: i.ID, Event: i.Event, Category: i.Category, ConferenceID: i.ConferenceID, SenderID: i.SenderID, SenderName: i.SenderName, RequireAck: i.RequireAck, CreatedAt: cmp.Or(i.SentAt, i.CreatedAt)}
	}
	if len(data) > 0 {
		n.Data = data
	}
	n.Data = orNull(n.Data)
	return Item{Note: n, Read: i.Read, waits: i.Waits}
}

func itemsOf(list []notice.Item) []Item {
	items := make([]Item, len(list))
	for i, n := range list {
		items[i] = itemOf(n)
	}
	return items
}
