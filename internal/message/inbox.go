package message

import (
	"cmp"
	"context"
	"fmt"

	"gorm.io/gorm"

	"rollcall/internal/hall"
	"rollcall/internal/notice"
)

const (
	pushItems = 50        // items of one push_message
	pageBytes = 256 << 10 // of the messages in a page, unless its reader wants less
)

// Page is a page of an inbox, newest first.
type Page struct {
	Items  []Item // never nil
	Next   string // "" at the end
	Unread notice.Unread
}

// inboxPush is the payload of push_message.
type inboxPush struct {
	Unread notice.Unread `json:"unread"`
	Items  []Item        `json:"items"`
	More   bool          `json:"more"`
}

// viewOf is what a socket sees of its user's inbox.
func viewOf(s hall.Socket) notice.View {
	return notice.View{UserID: s.UserID, ConferenceID: s.ConferenceID, ClientType: s.ClientType}
}

// Inbox returns a page of what was said to a user. A page ends before its limit when its messages are above 256 KiB
// together, or above q.MaxBytes. A cursor that is not one is a fault of kind Invalid with code bad_cursor.
func (m *Messages) Inbox(ctx context.Context, v notice.View, q notice.InboxQuery) (Page, error) {
	return m.pageOf(ctx, v, q)
}

// pageOf reads a page and the counts in one snapshot.
func (m *Messages) pageOf(ctx context.Context, v notice.View, q notice.InboxQuery) (Page, error) {
	q.MaxBytes = cmp.Or(q.MaxBytes, pageBytes)
	var p Page
	err := m.DB.Read(ctx, func(ctx context.Context, _ *gorm.DB) error {
		items, next, err := m.Notices.Inbox(ctx, v, q)
		if err != nil {
			return err
		}
		p = Page{Items: itemsOf(items), Next: next}
		p.Unread, err = m.Notices.Unread(ctx, v)
		return err
	})
	if err != nil {
		return Page{}, fmt.Errorf("read an inbox: %w", err)
	}
	return p, nil
}

// Login pushes push_message to a socket, with all also what was read, and returns what is unread. arrives says that the
// socket has only now sat down: then it is brought what else waits, too, and Arrived must not be called. A socket
// without a session, as system clients are, is only told the counts.
func (m *Messages) Login(ctx context.Context, s hall.Socket, arrives, all bool) (notice.Unread, error) {
	unread, err := m.login(ctx, s, arrives && comes(s), all)
	if err != nil && arrives {
		m.Arrived(s) // what waits must not hang on whether he asks again
	}
	return unread, err
}

func (m *Messages) login(ctx context.Context, s hall.Socket, arrives, all bool) (notice.Unread, error) {
	if arrives {
		if err := m.bringUnacked(ctx, s, viewOf(s)); err != nil { // before the page, see bring
			return notice.Unread{}, err
		}
	}
	p, err := m.pageOf(ctx, viewOf(s), notice.InboxQuery{UnreadOnly: !all, Limit: pushItems})
	if err != nil || s.SessionID == "" {
		return p.Unread, err
	}
	if arrives {
		m.arrived(true, s) // what was kept, with one look for many
	}
	return p.Unread, m.pushInbox(s, p)
}
