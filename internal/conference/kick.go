package conference

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"time"

	"rollcall/internal/hall"
	"rollcall/internal/id"
	"rollcall/internal/notice"
	"rollcall/internal/store"
)

// Audit leaves a row in the log about something an administrator or a backend did.
func (h *House) Audit(ctx context.Context, actor, fromIP, conferenceID string, what json.RawMessage) error {
	return h.Notices.Append(ctx, []notice.Entry{{ID: id.New(), ConferenceID: conferenceID, Actor: actor, Event: "audit", SendType: systemSendType, Message: what, FromIP: fromIP, State: "sent", CreatedAt: now()}})
}

// Kick disconnects a user's sockets for good, those in one conference or, with "", all. It returns how many there are.
func (h *House) Kick(ctx context.Context, userID, conferenceID, reason string) int {
	to := hall.Audience{Users: []string{userID}, ConferenceID: conferenceID}
	n := len(h.Hall.Find(to))
	store.AfterCommit(ctx, func() { h.sendUsers(ctx, to, reason) })
	return n
}

// Dismiss sends users who were taken off the members list of a conference out of it, for good and once the transaction of
// ctx is committed. Without auth they stay: then the list says nothing about who may be there.
func (h *House) Dismiss(ctx context.Context, conferenceID string, users []string) {
	if h.Auth && len(users) > 0 {
		store.AfterCommit(ctx, func() { h.sendUsers(ctx, hall.Audience{Users: users, ConferenceID: conferenceID}, "member_removed") })
	}
}

// usersAtOnce is of how many users the sessions are closed in a few transactions.
const usersAtOnce = 250

// sendUsers sends the users of an audience away: their sockets at once, then what is left of them in the database.
func (h *House) sendUsers(ctx context.Context, to hall.Audience, reason string) {
	h.Net.Call("end sockets", func() { h.Hall.End(to, reason) })
	ctx, cancel := afterwards(ctx, len(to.Users))
	defer cancel()
	for some := range slices.Chunk(to.Users, usersAtOnce) {
		ids, err := h.Presence.CloseUsers(ctx, some, to.ConferenceID)
		h.endSessions(ids, reason)
		if err != nil {
			h.Log.Warn("could not close the sessions of users who were sent away, their nodes will", slog.String("conference", to.ConferenceID), slog.String("reason", reason), slog.Any("error", err))
			return
		}
	}
}

// endSessions ends the sockets of sessions that were open: some were just coming in when those in their rooms were ended.
func (h *House) endSessions(ids []string, reason string) {
	h.Net.Call("end sockets", func() {
		for _, id := range ids {
			h.Hall.EndSession(id, reason)
		}
	})
}

// afterwards is the context of what goes on, for so many users, once a transaction is committed. It does not end with the
// request that asked for the transaction: whoever hangs up has it done all the same.
func afterwards(ctx context.Context, users int) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(store.Outside(ctx)), afterTimeout+time.Duration(users)*afterEach)
}

const (
	// afterTimeout is for the work of two short transactions, in a queue, and afterEach is what many users add to it.
	afterTimeout = 10 * time.Second
	afterEach    = 5 * time.Millisecond
)

// Disconnect ends one session for good and reports whether it is on this node.
func (h *House) Disconnect(ctx context.Context, sessionID, reason string) bool {
	if !h.Hall.Holds(sessionID) {
		return false
	}
	store.AfterCommit(ctx, func() { h.Hall.EndSession(sessionID, reason) })
	return true
}
