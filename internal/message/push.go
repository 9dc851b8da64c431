package message

import (
	"context"
	"encoding/json"
	"fmt"

	"rollcall/internal/fault"
	"rollcall/internal/hall"
	"rollcall/internal/id"
	"rollcall/internal/notice"
)

// Push is a message of the meeting backend to users who are online, in the shape of the system before this one.
type Push struct {
	Actor, FromIP string
	SenderID      string
	Users         []string
	All           bool // instead of Users
	ConferenceID  string
	Event         string
	Message       json.RawMessage
	SendType      string
	Label         string
}

// Pushed is what became of a Push. Audience and Online count users.
type Pushed struct {
	ID               string
	Audience, Online int
}

// Push logs a message and then emits it untouched to every socket of its users, with a conference only to those in it.
// Who is reconnecting gets it when he is back; nothing is kept for anybody else. A message for note_tree is a push of the
// conference's tree instead.
func (m *Messages) Push(ctx context.Context, p Push) (Pushed, error) {
	l, err := m.pushOf(ctx, p)
	if err != nil {
		return Pushed{}, err
	}
	if p.Event == treeEvent {
		return m.pushTree(ctx, l)
	}
	done, err := m.send(ctx, l)
	if err != nil {
		return Pushed{}, fmt.Errorf("push a message: %w", err)
	}
	pushed := Pushed{ID: done.ID, Audience: len(p.Users), Online: len(done.users)}
	if p.All {
		pushed.Audience = pushed.Online
	}
	return pushed, nil
}

// pushOf makes the letter of a push.
func (m *Messages) pushOf(ctx context.Context, p Push) (letter, error) {
	e := notice.Entry{
		ID: id.New(), ConferenceID: p.ConferenceID, SenderID: p.SenderID, Actor: p.Actor, Event: p.Event, Label: p.Label, SendType: p.SendType,
		Message: orNull(p.Message), Audience: len(p.Users), FromIP: p.FromIP, CreatedAt: m.now(), Scope: p.ConferenceID,
	}
	var err error
	if e.SenderName, err = m.nameOf(ctx, p.SenderID); err != nil {
		return letter{}, err
	}
	if e.Online, err = m.online(ctx); err != nil {
		return letter{}, err
	}
	return letter{
		entry: e, frame: frame{event: p.Event, args: []json.RawMessage{e.Message}}, users: p.Users, names: p.All, holds: true, quiet: p.Event == loginEvent,
		to: hall.Audience{Users: p.Users, All: p.All, ConferenceID: p.ConferenceID}, kind: "push",
	}, nil
}

func (m *Messages) pushTree(ctx context.Context, l letter) (Pushed, error) {
	conferenceID := l.entry.ConferenceID
	if conferenceID == "" {
		return Pushed{}, fault.Invalidf("a push of note_tree needs a conferenceId")
	}
	if _, err := m.PushTree(ctx, conferenceID); err != nil {
		return Pushed{}, fmt.Errorf("push a tree: %w", err)
	}
	to := hall.Audience{All: true, ConferenceID: conferenceID}
	away, err := m.Presence.Elsewhere(ctx, to)
	if err != nil {
		return Pushed{}, err
	}
	found := append(m.Hall.Find(to), away...)
	l.holds, l.names = false, true // the room has it, whoever else was named
	if err := m.address(ctx, &l, found); err != nil {
		return Pushed{}, err
	}
	posted, err := m.Notices.Post(ctx, notice.Posting{Entry: l.entry})
	if err != nil {
		return Pushed{}, fmt.Errorf("push a tree: %w", err)
	}
	return Pushed{ID: posted.ID, Audience: l.entry.Audience, Online: l.entry.Sent}, nil
}

// Delivery is data of a backend for the pages of some tokens.
type Delivery struct {
	Actor, FromIP string
	Tokens        []string        // aliases that user_login gave; those that are none are user ids
	EntityType    json.RawMessage // as it was given; nil is null
	Data          json.RawMessage
}

// Deliver emits receive_message to the sockets of the tokens and returns how many there are. Users among them who are
// reconnecting get it when they are back.
func (m *Messages) Deliver(ctx context.Context, d Delivery) (sockets int, err error) {
	message, err := encode(struct {
		EntityType json.RawMessage `json:"entityType"`
		Data       json.RawMessage `json:"data"`
	}{orNull(d.EntityType), orNull(d.Data)})
	if err != nil {
		return 0, err
	}
	l := letter{names: true, holds: true, kind: "receive", frame: frame{event: receiveEvent, args: []json.RawMessage{message}}}
	tokens := distinct(d.Tokens)
	elsewhere, err := m.Presence.AliasesElsewhere(ctx, tokens)
	if err != nil {
		return 0, err
	}
	for _, token := range tokens {
		switch {
		case len(elsewhere[token]) > 0 || len(m.Hall.Find(hall.Audience{Aliases: []string{token}})) > 0:
			l.to.Aliases = append(l.to.Aliases, token)
		case id.Check(token) == nil:
			l.to.Users = append(l.to.Users, token)
		}
	}
	l.users = l.to.Users
	l.entry = notice.Entry{ID: id.New(), Actor: d.Actor, Event: receiveEvent, Message: message, Audience: len(tokens), FromIP: d.FromIP, CreatedAt: m.now()}
	if l.entry.Online, err = m.online(ctx); err != nil {
		return 0, err
	}
	done, err := m.send(ctx, l)
	if err != nil {
		return 0, fmt.Errorf("deliver to tokens: %w", err)
	}
	return done.sockets, nil
}
