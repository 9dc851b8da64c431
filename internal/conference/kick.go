package conference

import (
	"cmp"
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

// Kick disconnects a user's sockets for good, on all nodes, those in one conference or, with "", all, once the transaction of
// ctx is committed. It returns how many there are.
func (h *House) Kick(ctx context.Context, userID, conferenceID, reason string) (int, error) {
	to := hall.Audience{Users: []string{userID}, ConferenceID: conferenceID}
	away, err := h.Presence.Elsewhere(ctx, to)
	if err != nil {
		return 0, err
	}
	return len(h.Hall.Find(to)) + len(away), h.sendUsers(ctx, to, reason)
}

// Dismiss sends users who were taken off the members list of a conference out of it, for good and once the transaction of
// ctx is committed. Without auth they stay: then the list says nothing about who may be there.
func (h *House) Dismiss(ctx context.Context, conferenceID string, users []string) error {
	if !h.Auth || len(users) == 0 {
		return nil
	}
	return h.sendUsers(ctx, hall.Audience{Users: users, ConferenceID: conferenceID}, "member_removed")
}

// usersAtOnce is of how many users the sessions are closed in a few transactions.
const usersAtOnce = 250

// sendUsers sends the users of an audience away once the transaction of ctx is committed: their sockets at once, then what is
// left of them in the database.
func (h *House) sendUsers(ctx context.Context, to hall.Audience, reason string) error {
	if err := h.Cluster.End(ctx, to, reason); err != nil {
		return err
	}
	store.AfterCommit(ctx, func() { h.closeUsers(ctx, to, reason) })
	return nil
}

func (h *House) closeUsers(ctx context.Context, to hall.Audience, reason string) {
	ctx, cancel := afterwards(ctx, len(to.Users))
	defer cancel()
	for some := range slices.Chunk(to.Users, usersAtOnce) {
		ids, err := h.Presence.CloseUsers(ctx, some, to.ConferenceID)
		h.endSessions(ctx, ids, reason)
		if err != nil {
			h.Log.Warn("could not close the sessions of users who were sent away, their nodes will", slog.String("conference", to.ConferenceID), slog.String("reason", reason), slog.Any("error", err))
			return
		}
	}
}

// endSessions ends the sockets of sessions that were open: some were just coming in when those in their rooms were ended. A node
// that does not hear of it finds out when it compares its sockets with the rows.
func (h *House) endSessions(ctx context.Context, ids []string, reason string) {
	var away []string
	h.Net.Call("end sockets", func() {
		for _, id := range ids {
			if !h.Hall.Holds(id) {
				away = append(away, id)
			}
			h.Hall.EndSession(id, reason)
		}
	})
	if len(away) > 0 {
		h.note("end sockets of other nodes", h.Cluster.EndElsewhere(ctx, "", hall.Audience{Sessions: away}, reason))
	}
}

// Ended ends the sockets of sessions that another node has ended, and of which this one was not told. It does not block.
func (h *House) Ended(sessionIDs []string) {
	for _, id := range sessionIDs {
		h.Hall.EndSession(id, "kicked")
	}
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

// LimitElsewhere ends so many sockets of a user on other nodes, those first that came first: who has been silent for longest only
// their own node knows.
func (h *House) LimitElsewhere(ctx context.Context, userID string, n int, reason string) error {
	away, err := h.Presence.Elsewhere(ctx, hall.Audience{Users: []string{userID}})
	if err != nil {
		return err
	}
	slices.SortFunc(away, func(a, b hall.Socket) int { return cmp.Compare(a.SessionID, b.SessionID) }) // ids sort by time
	for _, s := range away[:min(n, len(away))] {
		if err := h.Cluster.EndElsewhere(ctx, s.Node, hall.Audience{Sessions: []string{s.SessionID}}, reason); err != nil {
			return err
		}
	}
	return nil
}

// Disconnect ends one session for good, on whatever node it is, once the transaction of ctx is committed. It reports whether there
// is one.
func (h *House) Disconnect(ctx context.Context, sessionID, reason string) (bool, error) {
	to := hall.Audience{Sessions: []string{sessionID}}
	if h.Hall.Holds(sessionID) {
		store.AfterCommit(ctx, func() { h.Hall.EndSession(sessionID, reason) })
		return true, nil
	}
	away, err := h.Presence.Elsewhere(ctx, to)
	if err != nil || len(away) == 0 {
		return false, err
	}
	return true, h.Cluster.EndElsewhere(ctx, away[0].Node, to, reason)
}
