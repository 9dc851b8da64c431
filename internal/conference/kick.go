package conference

import (
	"context"
	"encoding/json"
	"log/slog"
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
	store.AfterCommit(ctx, func() {
		h.Hall.End(to, reason)
		ctx, cancel := afterwards(ctx)
		defer cancel()
		ids, err := h.Presence.CloseUser(ctx, userID, conferenceID)
		for _, id := range ids { // of sockets that were just coming in
			h.Hall.EndSession(id, reason)
		}
		if err != nil {
			h.Log.Warn("could not close the sessions of a kicked user", slog.String("user", userID), slog.Any("error", err))
		}
	})
	return n
}

// afterwards is the context of what goes on once a transaction is committed. It does not end with the request that asked
// for the transaction: whoever hangs up has it done all the same.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(store.Outside(ctx)), afterTimeout)
}

// afterTimeout is for the work of two short transactions, in a queue.
const afterTimeout = 10 * time.Second

// Disconnect ends one session for good and reports whether it is on this node.
func (h *House) Disconnect(ctx context.Context, sessionID, reason string) bool {
	if !h.Hall.Holds(sessionID) {
		return false
	}
	store.AfterCommit(ctx, func() { h.Hall.EndSession(sessionID, reason) })
	return true
}
