package message

import (
	"context"
	"fmt"

	"github.com/oklog/ulid/v2"

	"rollcall/internal/fault"
	"rollcall/internal/hall"
	"rollcall/internal/notice"
	"rollcall/internal/store"
)

const choiceMost = 1000 // ids that one call settles

// Choice names notices of one inbox: either IDs, at most 1,000, or All.
type Choice struct {
	IDs      []string
	All      bool
	Category string // with All: only these; "" is every category
}

// Settle marks notices of a socket's user as had, or as read, tells his other devices, and returns what is unread.
// Ids that are not his change nothing. Faults: TooLarge, and Invalid for a choice or an id that is none.
func (m *Messages) Settle(ctx context.Context, s hall.Socket, read bool, c Choice) (notice.Unread, error) {
	if s.UserID == "" {
		return notice.Unread{}, fault.New(fault.Forbidden, "forbidden", "say who you are with user_login first")
	}
	state := notice.Acked
	if read {
		state = notice.Read
	}
	return m.choose(ctx, viewOf(s), s, state, c)
}

// ReadFor marks notices of a user as read on behalf of a backend, tells all his sockets, and returns what is unread.
// Faults as of Settle.
func (m *Messages) ReadFor(ctx context.Context, userID string, c Choice) (notice.Unread, error) {
	return m.choose(ctx, notice.View{UserID: userID, Whole: true}, hall.Socket{UserID: userID}, notice.Read, c)
}

// choose settles what was chosen of the inbox that v shows, by a socket.
func (m *Messages) choose(ctx context.Context, v notice.View, by hall.Socket, state string, c Choice) (notice.Unread, error) {
	if err := c.check(); err != nil {
		return notice.Unread{}, err
	}
	var changed int
	var err error
	if c.All {
		changed, err = m.settleAll(ctx, v, m.settlement(by, state), c.Category)
	} else {
		changed, err = m.settleIDs(ctx, m.settlement(by, state), c.IDs)
	}
	if changed > 0 {
		m.tellLater(ctx, v.UserID, by.SessionID)
	}
	if err != nil {
		return notice.Unread{}, fmt.Errorf("settle notices: %w", err)
	}
	return m.Notices.Unread(ctx, v)
}

func (c Choice) check() error {
	if c.All == (len(c.IDs) > 0) {
		return fault.Invalidf("either ids or all must be given")
	}
	if len(c.IDs) > choiceMost {
		return fault.New(fault.TooLarge, "too_large", fmt.Sprintf("at most %d ids may be given", choiceMost))
	}
	return nil
}

// settlement begins a settlement by a socket; its notice is still to be named.
func (m *Messages) settlement(by hall.Socket, state string) notice.Settlement {
	s := markOf("", by, m.now()).Settlement
	s.State = state
	return s
}

func (m *Messages) settleIDs(ctx context.Context, by notice.Settlement, ids []string) (changed int, err error) {
	list := make([]notice.Settlement, 0, len(ids))
	for _, noticeID := range distinct(ids) {
		if _, err := ulid.ParseStrict(noticeID); err != nil {
			continue // nobody's
		}
		by.NoticeID = noticeID
		list = append(list, by)
	}
	news, err := m.settle(ctx, list)
	if err != nil {
		return 0, err
	}
	store.AfterCommit(ctx, func() {
		for _, s := range list {
			m.repeats.end(s.NoticeID, s.UserID)
		}
	})
	return len(news), nil
}

// settleAll settles a whole inbox, a part at a time, each with what the backend is told of it.
func (m *Messages) settleAll(ctx context.Context, v notice.View, by notice.Settlement, category string) (changed int, err error) {
	changed, err = m.Notices.SettleAll(ctx, v, category, by, func(ctx context.Context, news []notice.Settlement) error {
		store.AfterCommit(ctx, func() { m.countAcked(news) })
		return m.tellAcked(ctx, news)
	})
	if err == nil {
		store.AfterCommit(ctx, func() { m.repeats.endAll(v, category) })
	}
	return changed, err
}
