package notice

import (
	"context"
	"encoding/json"
	"fmt"

	"gorm.io/gorm"
)

// ChatMessage is the event under which chat lines stand in the log.
const ChatMessage = "chat message"

// ChatLine is one message of a chat, as it was said.
type ChatLine struct {
	ID       string          `json:"id"`
	UserID   string          `json:"userId"` // "" if nobody was signed in
	UserName string          `json:"userName"`
	Body     json.RawMessage `json:"body"` // null if the row holds no JSON
	At       int64           `json:"at"`   // milliseconds since 1970
}

// ChatHistory returns what was said in a conference, or with "" in the lobby, newest first: at most limit lines (1 to
// 200, 0 is 50) from before the line with that ID, or the newest with "", and what before is for the next page, ""
// when there is none. A before that is no ID is a fault of kind Invalid with code bad_cursor.
func (n *Notices) ChatHistory(ctx context.Context, conferenceID, before string, limit int) (items []ChatLine, next string, err error) {
	f := Filter{ConferenceID: conferenceID, Event: ChatMessage, Cursor: before}
	if err := f.check(); err != nil {
		return nil, "", err
	}
	limit = pageSize(limit)
	said := walk{lists: []list{conversation(conferenceID, ChatMessage)}}
	var rows []noticeRow
	err = n.db.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) (err error) {
		rows, err = said.read(tx, f, limit+1)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("read the chat: %w", err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next = rows[limit-1].ID
	}
	items = make([]ChatLine, len(rows))
	for i, r := range rows {
		e := r.entry()
		items[i] = ChatLine{ID: e.ID, UserID: e.SenderID, UserName: e.SenderName, Body: e.Message, At: e.CreatedAt}
	}
	return items, next, nil
}
