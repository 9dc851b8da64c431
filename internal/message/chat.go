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
	there := len(hall.Users(m.Hall.Find(to)))
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
	posted, err := m.Notices.Post(ctx, notice.Posting{Entry: e, After: func(notice.Posted) { m.Hall.Emit(to, chatEvent, body, speaker) }})
	if err != nil {
		return "", fmt.Errorf("store a chat message: %w", err)
	}
	m.metrics.said.WithLabelValues("chat").Inc()
	return posted.ID, nil
}
