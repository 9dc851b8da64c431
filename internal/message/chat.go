package message

import (
	"context"
	"encoding/json"
	"fmt"

	"rollcall/internal/cluster"
	"rollcall/internal/fault"
	"rollcall/internal/hall"
	"rollcall/internal/id"
	"rollcall/internal/notice"
)

// Chat stores what was said in a conference, or, with "", in the lobby, and emits it there, to the speaker too, in the
// order in which it was stored. body is JSON.
func (m *Messages) Chat(ctx context.Context, from hall.Socket, conferenceID string, body json.RawMessage) (noticeID string, err error) {
	if len(body) == 0 || !json.Valid(body) {
		return "", fault.Invalidf("a chat message needs a body")
	}
	to := hall.Audience{All: true, ConferenceID: conferenceID}
	if conferenceID == "" {
		to = hall.Audience{Lobby: true}
	}
	there, err := m.there(ctx, to)
	if err != nil {
		return "", err
	}
	online, err := m.online(ctx)
	if err != nil {
		return "", err
	}
	e := notice.Entry{
		ID: id.New(), ConferenceID: conferenceID, SenderID: from.UserID, SenderName: from.UserName, Actor: fromSocket, Event: chatEvent, Message: body,
		Audience: there, Sent: there, FromIP: from.IP, Online: online, State: notice.Sent, CreatedAt: m.now(),
	}
	speaker, err := encode(struct {
		ID       string `json:"id"`
		UserID   string `json:"userId"`
		UserName string `json:"userName"`
		At       int64  `json:"at"`
	}{e.ID, e.SenderID, e.SenderName, e.CreatedAt})
	if err != nil {
		return "", err
	}
	letter, err := cluster.EmitLetter(to, chatEvent, body, speaker)
	if err != nil {
		return "", err
	}
	p := notice.Posting{Entry: e, Letters: []hall.Letter{letter}}
	if m.Cluster.IsAlone() { // then they need not go by way of the database
		p.Letters, p.After = nil, func(notice.Posted) { m.post(ctx, letter) }
	}
	posted, err := m.Notices.Post(ctx, p)
	if err != nil {
		return "", fmt.Errorf("store a chat message: %w", err)
	}
	m.metrics.said.WithLabelValues("chat").Inc()
	return posted.ID, nil
}

// there returns how many users hear what is said to a conference, or to the lobby.
func (m *Messages) there(ctx context.Context, to hall.Audience) (int, error) {
	if m.Cluster.IsAlone() {
		return len(hall.Users(m.Hall.Find(to))), nil
	}
	return share(ctx, m, "there "+to.ConferenceID, func(ctx context.Context) (int, error) { return m.Presence.UsersThere(ctx, to.ConferenceID) })
}
