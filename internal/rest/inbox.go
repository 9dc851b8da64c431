package rest

import (
	"context"
	"net/http"

	"rollcall/internal/fault"
	"rollcall/internal/message"
	"rollcall/internal/notice"
)

type inboxQuery struct {
	ID         string `path:"id"`
	Category   string `query:"category" enum:"announcement,remind,subscription,publication,system,mailbox" doc:"Only these"`
	UnreadOnly bool   `query:"unreadOnly"`
	Paging
}

// inboxItem is a notice as its user sees it.
type inboxItem struct {
	ID           string   `json:"id"`
	Event        string   `json:"event"`
	Category     string   `json:"category"`
	ConferenceID string   `json:"conferenceId"`
	SenderID     string   `json:"senderId"`
	SenderName   string   `json:"senderName"`
	Title        string   `json:"title"`
	Body         string   `json:"body"`
	Data         jsonText `json:"data" doc:"Any JSON"`
	RequireAck   bool     `json:"requireAck"`
	CreatedAt    int64    `json:"createdAt" doc:"Milliseconds since 1970"`
	ExpiresAt    *int64   `json:"expiresAt" doc:"Milliseconds since 1970; null if never"`
	Read         bool     `json:"read"`
}

func inboxItemOf(i message.Item) inboxItem {
	return inboxItem{
		i.ID, i.Event, i.Category, i.ConferenceID, i.SenderID, i.SenderName, i.Title, i.Body, jsonText(i.Data), i.RequireAck, i.CreatedAt, i.ExpiresAt, i.Read,
	}
}

// unread counts what a user has not read.
type unread struct {
	Total      int            `json:"total"`
	ByCategory map[string]int `json:"byCategory" nullable:"false" doc:"Only categories with something unread"`
}

// inboxPage is a page with what is unread. It says itself what page says: the document knows nothing of embedded structs.
type inboxPage struct {
	Items  []inboxItem `json:"items" nullable:"false"`
	Next   *string     `json:"next" doc:"Cursor of the next page; null at the end"`
	Unread unread      `json:"unread"`
}

type inboxReadInput struct {
	ID   string `path:"id"`
	Body struct {
		IDs      []ref  `json:"ids,omitempty" nullable:"false" doc:"At most 1000; those that are not his change nothing"`
		All      bool   `json:"all,omitempty" doc:"Instead of ids"`
		Category string `json:"category,omitempty" enum:"announcement,remind,subscription,publication,system,mailbox" doc:"With all: only these"`
	}
}

func (in *inboxReadInput) check() error {
	if in.Body.All == (in.Body.IDs != nil) {
		return fault.Invalidf("say which with ids or with all")
	}
	return nil
}

type inboxRead struct {
	Unread unread `json:"unread" doc:"What is left"`
}

func (d *Door) inboxes() {
	register(d, operation{id: "get-inbox", role: viewer, own: true, method: http.MethodGet, path: "/users/{id}/inbox", tag: "inbox", summary: "What was said to a user, newest first"}, d.getInbox)
	register(d, operation{id: "read-inbox", role: backend, own: true, method: http.MethodPost, path: "/users/{id}/inbox/read", tag: "inbox", summary: "Mark what was said to a user as read",
		detail: "All his clients are told.", body: fields}, d.readInbox)
}

func (d *Door) getInbox(ctx context.Context, in *inboxQuery) (*answer[inboxPage], error) {
	p, err := d.Messages.Inbox(ctx, notice.View{UserID: in.ID, Whole: true}, notice.InboxQuery{Cursor: in.Cursor, Limit: in.Limit, Category: in.Category, UnreadOnly: in.UnreadOnly})
	if err != nil {
		return nil, err
	}
	items := make([]inboxItem, 0, len(p.Items))
	for _, i := range p.Items {
		items = append(items, inboxItemOf(i))
	}
	list := pageOf(items, p.Next).Body
	return ok(inboxPage{list.Items, list.Next, unread(p.Unread)}), nil
}

func (d *Door) readInbox(ctx context.Context, in *inboxReadInput) (*answer[inboxRead], error) {
	c := message.Choice{All: in.Body.All}
	if c.All {
		c.Category = in.Body.Category
	}
	for _, noticeID := range in.Body.IDs {
		c.IDs = append(c.IDs, string(noticeID))
	}
	left, err := d.readFor(ctx, in.ID, c)
	if err != nil {
		return nil, err
	}
	return ok(inboxRead{unread(left)}), nil
}

// readFor marks what was chosen and returns what is unread then. Of an empty list there is nothing to mark.
func (d *Door) readFor(ctx context.Context, userID string, c message.Choice) (notice.Unread, error) {
	if !c.All && len(c.IDs) == 0 {
		return d.Notices.Unread(ctx, notice.View{UserID: userID, Whole: true})
	}
	return d.Messages.ReadFor(ctx, userID, c)
}
