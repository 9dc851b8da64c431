package conference

import (
	"context"
	"encoding/json"
	"log/slog"

	"rollcall/internal/fault"
	"rollcall/internal/id"
	"rollcall/internal/notice"
	"rollcall/internal/store"
)

// attendLogin is the event that is delivered but never logged.
const attendLogin = "attend_login"

// TargetedPush is a message of the meeting backend to some users who are online.
type TargetedPush struct {
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

// Pushed is what became of a TargetedPush. Online counts users; of a push to all, the sockets' users.
type Pushed struct {
	ID               string
	Audience, Online int
}

// PushTo logs a message and then emits it to every socket of its users that is connected, if a conference is given
// only to those in that conference. Nothing is kept for anybody else. A message for note_tree is a push of the
// tree of its conference instead.
func (h *House) PushTo(ctx context.Context, p TargetedPush) (Pushed, error) {
	if p.Event == "note_tree" {
		return h.pushTree(ctx, p)
	}
	to := Audience{Users: p.Users, All: p.All, ConferenceID: p.ConferenceID}
	sockets := h.Hall.Find(to)
	deliveries, at := reached(sockets)
	done := Pushed{ID: id.New(), Audience: len(p.Users), Online: len(deliveries)}
	if p.All {
		done.Audience = len(deliveries)
	}
	if p.Event != attendLogin {
		if err := h.log(ctx, p, done, deliveries, at); err != nil {
			return Pushed{}, err
		}
	}
	store.AfterCommit(ctx, func() { h.Hall.Emit(to, p.Event, p.Message) })
	return done, nil
}

func (h *House) pushTree(ctx context.Context, p TargetedPush) (Pushed, error) {
	if p.ConferenceID == "" {
		return Pushed{}, fault.Invalidf("a push of note_tree needs a conferenceId")
	}
	if _, err := h.Push(ctx, p.ConferenceID); err != nil {
		return Pushed{}, err
	}
	deliveries, at := reached(h.Hall.Find(Audience{All: true, ConferenceID: p.ConferenceID}))
	done := Pushed{ID: id.New(), Audience: len(p.Users), Online: len(deliveries)}
	return done, h.log(ctx, p, done, deliveries, at)
}

// reached returns one delivery per user, that of his first socket.
func reached(sockets []Socket) ([]notice.Delivery, int64) {
	at := now()
	seen := map[string]bool{}
	var list []notice.Delivery
	for _, s := range sockets {
		if s.UserID == "" || seen[s.UserID] {
			continue
		}
		seen[s.UserID] = true
		list = append(list, notice.Delivery{UserID: s.UserID, State: "sent", At: at, SessionID: s.SessionID, ClientType: s.ClientType, DeviceID: s.DeviceID, IP: s.IP})
	}
	return list, at
}

func (h *House) log(ctx context.Context, p TargetedPush, done Pushed, deliveries []notice.Delivery, at int64) error {
	known := make(map[string]bool, len(deliveries))
	for _, d := range deliveries {
		known[d.UserID] = true
	}
	for _, user := range p.Users {
		if !known[user] {
			known[user] = true
			deliveries = append(deliveries, notice.Delivery{UserID: user, State: "unreached", At: at})
		}
	}
	online, err := h.Presence.OnlineUsers(ctx)
	if err != nil {
		return err
	}
	sender, err := h.Presence.User(ctx, p.SenderID)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	return h.Notices.Append(ctx, []notice.Entry{{
		ID: done.ID, ConferenceID: p.ConferenceID, SenderID: p.SenderID, SenderName: sender.Name, Actor: p.Actor, Event: p.Event,
		Label: p.Label, SendType: p.SendType, Message: p.Message, Audience: done.Audience, Sent: done.Online, FromIP: p.FromIP,
		Online: online, State: "sent", CreatedAt: at, Deliveries: deliveries,
	}})
}

// Audit leaves a row in the log about something an administrator or a backend did.
func (h *House) Audit(ctx context.Context, actor, fromIP, conferenceID string, what json.RawMessage) error {
	return h.Notices.Append(ctx, []notice.Entry{{ID: id.New(), ConferenceID: conferenceID, Actor: actor, Event: "audit", SendType: systemSendType, Message: what, FromIP: fromIP, State: "sent", CreatedAt: now()}})
}

// Kick disconnects a user's sockets for good, those in one conference or, with "", all. It returns how many there are.
func (h *House) Kick(ctx context.Context, userID, conferenceID, reason string) int {
	to := Audience{Users: []string{userID}, ConferenceID: conferenceID}
	n := len(h.Hall.Find(to))
	store.AfterCommit(ctx, func() {
		h.Hall.End(to, reason)
		ids, err := h.Presence.CloseUser(store.Outside(ctx), userID, conferenceID)
		for _, id := range ids { // of sockets that were just coming in
			h.Hall.EndSession(id, reason)
		}
		if err != nil {
			h.Log.Warn("could not close the sessions of a kicked user", slog.String("user", userID), slog.Any("error", err))
		}
	})
	return n
}

// Disconnect ends one session for good and reports whether it is on this node.
func (h *House) Disconnect(ctx context.Context, sessionID, reason string) bool {
	if !h.Hall.Holds(sessionID) {
		return false
	}
	store.AfterCommit(ctx, func() { h.Hall.EndSession(sessionID, reason) })
	return true
}
