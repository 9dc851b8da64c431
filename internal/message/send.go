package message

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"rollcall/internal/fault"
	"rollcall/internal/hall"
	"rollcall/internal/id"
	"rollcall/internal/notice"
	"rollcall/internal/store"
	"rollcall/internal/tracing"
)

// Notice is what a backend wants to have said. Exactly one of Users, Conference and All is set.
type Notice struct {
	Actor, FromIP string
	SenderID      string

	Users      []string
	Conference string // its members
	All        bool   // everybody, also who comes later
	Except     []string

	ClientTypes  []string
	ConferenceID string // only sockets that are in it

	Event       string // "notice" or a name of the backend's own
	Raw         bool
	Category    string
	Title, Body string
	Data        json.RawMessage

	Transient      bool // nothing is kept for who is not there
	RequireAck     bool
	TTL            time.Duration // 0: never expires
	SendAt         int64         // milliseconds since 1970; 0 or past: now
	UnreachedAfter time.Duration // 0: the backend does not want to hear

	Label, SendType string
}

// Sent is what became of a notice at once. All count users: those addressed, those it was sent to, and those it waits for.
type Sent struct {
	ID                       string
	Audience, Online, Queued int
}

// Send stores a notice and then hands it to the sockets of its users. When it returns it is committed. Faults of kind
// Invalid: empty_audience when nobody is left of those addressed, expired when it would be over before it is sent.
// Within a transaction of ctx it is handed over when that is committed.
func (m *Messages) Send(ctx context.Context, n Notice) (Sent, error) {
	ctx, span := m.Tracer.Start(ctx, "send notice")
	defer span.End()
	sent, err := m.deliver(ctx, n)
	span.Set(tracing.Kind, kindOf(n))
	span.Set(tracing.Notice, sent.ID)
	span.Count(tracing.Audience, int64(sent.Audience))
	span.Fail(err)
	return sent, err
}

func (m *Messages) deliver(ctx context.Context, n Notice) (Sent, error) {
	users, err := m.audience(ctx, n)
	if err != nil {
		return Sent{}, err
	}
	l, err := m.letterOf(ctx, n, users)
	if err != nil {
		return Sent{}, err
	}
	known := len(users)
	if n.All {
		if known, err = m.Notices.Known(ctx); err != nil {
			return Sent{}, fmt.Errorf("count the audience: %w", err)
		}
		known = max(known-len(n.Except), len(hall.Users(m.Hall.Find(l.to))))
	}
	l.entry.Audience = known
	var done handed
	if l.entry.SendAt != 0 {
		done, err = m.schedule(ctx, l)
	} else {
		done, err = m.send(ctx, l)
	}
	if err != nil {
		return Sent{}, fmt.Errorf("send a notice: %w", err)
	}
	store.AfterCommit(ctx, func() { m.plan(l.entry) })
	sent := Sent{ID: done.ID, Audience: max(known, len(done.users)), Online: len(done.users)}
	if l.entry.Stored {
		sent.Queued = sent.Audience - sent.Online
	}
	return sent, nil
}

// audience returns the users whom a notice names, once each; nil if it is to all.
func (m *Messages) audience(ctx context.Context, n Notice) ([]string, error) {
	if n.All {
		return nil, nil
	}
	users := n.Users
	if n.Conference != "" {
		var err error
		if users, err = m.Members(ctx, n.Conference, n.SenderID); err != nil {
			return nil, fmt.Errorf("find the members of a conference: %w", err)
		}
	}
	except := make(map[string]bool, len(n.Except))
	for _, user := range n.Except {
		except[user] = true
	}
	users = without(distinct(users), except)
	if len(users) == 0 {
		return nil, fault.New(fault.Invalid, "empty_audience", "nobody is addressed")
	}
	return users, nil
}

// letterOf makes the letter of a notice.
func (m *Messages) letterOf(ctx context.Context, n Notice, users []string) (letter, error) {
	at := m.now()
	e := notice.Entry{
		ConferenceID: cmp.Or(n.ConferenceID, n.Conference), SenderID: n.SenderID, Actor: n.Actor, Event: n.Event, Category: n.Category,
		Label: n.Label, SendType: n.SendType, FromIP: n.FromIP, CreatedAt: at, ToAll: n.All, Scope: n.ConferenceID, ClientTypes: n.ClientTypes,
		Stored: !n.Transient && n.Event != loginEvent, RequireAck: n.RequireAck, ID: id.New(), SentAt: at,
	}
	if n.All {
		e.Except = n.Except
	}
	if n.SendAt > at {
		if n.Event == loginEvent {
			return letter{}, fault.Invalidf("%s is not kept, and so cannot be sent later", loginEvent)
		}
		e.ID, e.SendAt, e.SentAt, at = id.At(time.UnixMilli(n.SendAt)), n.SendAt, 0, n.SendAt
	}
	if n.TTL != 0 {
		if e.ExpiresAt = at + n.TTL.Milliseconds(); n.TTL < 0 || e.ExpiresAt <= m.now() {
			return letter{}, fault.New(fault.Invalid, "expired", "the notice would be over before it is sent")
		}
	}
	if n.UnreachedAfter > 0 {
		e.UnreachedAt = at + n.UnreachedAfter.Milliseconds()
	}
	var err error
	if e.SenderName, err = m.nameOf(ctx, n.SenderID); err != nil {
		return letter{}, err
	}
	if e.Online, err = m.online(ctx); err != nil {
		return letter{}, err
	}
	if err := write(&e, n, at); err != nil {
		return letter{}, err
	}
	return letter{
		entry: e, frame: frameOf(e), users: users, holds: !e.Stored, quiet: e.Event == loginEvent, kind: kindOf(n),
		to: hall.Audience{Users: users, All: n.All, Except: e.Except, ConferenceID: n.ConferenceID, ClientTypes: n.ClientTypes},
	}, nil
}

func kindOf(n Notice) string {
	if n.Event == noticeEvent {
		return noticeEvent
	}
	return "named" // the backend's own names are too many for a metric
}

// write puts what is said into the entry: a notice as clients see it, or, raw or under a name of the backend's own, the
// data exactly as it was given beside the notice without it.
func write(e *notice.Entry, n Notice, at int64) error {
	note := Note{
		ID: e.ID, Event: n.Event, Category: n.Category, ConferenceID: e.ConferenceID, SenderID: n.SenderID, SenderName: e.SenderName,
		Title: n.Title, Body: n.Body, RequireAck: n.RequireAck, CreatedAt: at,
	}
	if e.ExpiresAt != 0 {
		note.ExpiresAt = &e.ExpiresAt
	}
	var err error
	if n.Event == noticeEvent && !n.Raw {
		note.Data = orNull(n.Data)
		e.Message, err = encode(note)
		return err
	}
	e.Message = orNull(n.Data)
	e.Envelope, err = encode(note)
	return err
}

// schedule posts a letter that goes out later. Until then it waits for everybody.
func (m *Messages) schedule(ctx context.Context, l letter) (handed, error) {
	for _, user := range l.users {
		l.entry.Deliveries = append(l.entry.Deliveries, notice.Delivery{UserID: user, State: notice.Queued, At: l.entry.CreatedAt})
	}
	posted, err := m.Notices.Post(ctx, notice.Posting{Entry: l.entry})
	return handed{Posted: posted}, err
}
