package socket

import (
	"context"
	"encoding/json"
	"slices"

	"rollcall/internal/fault"
	"rollcall/internal/hall"
	"rollcall/internal/id"
	"rollcall/internal/message"
	"rollcall/internal/notice"
)

// categories are those that a notice may have.
var categories = []string{"announcement", "remind", "subscription", "publication", "system", "mailbox"}

func checkCategory(category string) error {
	if category != "" && !slices.Contains(categories, category) {
		return fault.Invalidf("there is no such category")
	}
	return nil
}

func (s *seat) onNoticeAck(arg json.RawMessage) (answer, error) { return s.settle(arg, false) }

func (s *seat) onNoticeRead(arg json.RawMessage) (answer, error) { return s.settle(arg, true) }

// settle marks notices as had or as read.
func (s *seat) settle(arg json.RawMessage, read bool) (answer, error) {
	me, err := s.somebody()
	if err != nil {
		return nil, err
	}
	choice, err := readChoice(arg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
	defer cancel()
	unread, err := s.unreadAfter(ctx, me, read, choice)
	if err != nil {
		return nil, err
	}
	return answer{"unread": unread}, nil
}

// unreadAfter marks what was chosen and returns what is unread then. Of an empty list there is nothing to mark.
func (s *seat) unreadAfter(ctx context.Context, me hall.Socket, read bool, c message.Choice) (notice.Unread, error) {
	if !c.All && len(c.IDs) == 0 {
		return s.door.Notices.Unread(ctx, viewOf(me))
	}
	return s.door.messages.Settle(ctx, me, read, c)
}

// viewOf is what a socket may see of its user's inbox.
func viewOf(s hall.Socket) notice.View {
	return notice.View{UserID: s.UserID, ConferenceID: s.ConferenceID, ClientType: s.ClientType}
}

// readChoice reads which notices are meant. An empty list is a list: of nothing.
func readChoice(arg json.RawMessage) (message.Choice, error) {
	var in struct {
		IDs      []id.ID `json:"ids"`
		All      bool    `json:"all"`
		Category string  `json:"category"`
	}
	if err := decode(arg, &in); err != nil {
		return message.Choice{}, err
	}
	if in.All == (in.IDs != nil) {
		return message.Choice{}, fault.Invalidf("say which with ids or with all")
	}
	if err := checkCategory(in.Category); err != nil {
		return message.Choice{}, err
	}
	if in.All {
		return message.Choice{All: true, Category: in.Category}, nil
	}
	c := message.Choice{IDs: make([]string, 0, len(in.IDs))}
	for _, noticeID := range in.IDs {
		c.IDs = append(c.IDs, string(noticeID))
	}
	return c, nil
}

func (s *seat) onInbox(arg json.RawMessage) (answer, error) {
	me, err := s.somebody()
	if err != nil {
		return nil, err
	}
	var in struct {
		Cursor     string `json:"cursor"`
		Limit      int    `json:"limit"`
		Category   string `json:"category"`
		UnreadOnly bool   `json:"unreadOnly"`
	}
	if err := decode(arg, &in); err != nil {
		return nil, err
	}
	if err := checkLimit(in.Limit); err != nil {
		return nil, err
	}
	if err := checkCategory(in.Category); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
	defer cancel()
	page, err := s.door.messages.Inbox(ctx, viewOf(me), notice.InboxQuery{Cursor: in.Cursor, Limit: in.Limit, Category: in.Category, UnreadOnly: in.UnreadOnly})
	if err != nil {
		return nil, err
	}
	return answer{"items": page.Items, "next": nullable(page.Next), "unread": page.Unread}, nil
}
