package presence

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/store"
)

// HistoryQuery says which sessions are wanted. Times are milliseconds since 1970; 0 does not restrict.
type HistoryQuery struct {
	UserID       string
	ConferenceID string // "" is all of the user's sessions
	From, To     int64  // sessions that were open at any moment from From to To
	Limit        int    // the newest so many; 0 is 50
}

// Record is a session as it is kept.
type Record struct {
	Session
	NodeID   string
	ClosedAt int64  // milliseconds since 1970; 0 while it is open
	Reason   Reason // why it was closed; "" while it is open
}

// History returns the newest sessions of a user in the order in which they were opened. Without a user it is a fault
// Invalid. It joins the snapshot or transaction of ctx.
func (p *Presence) History(ctx context.Context, q HistoryQuery) ([]Record, error) {
	if q.UserID == "" {
		return nil, fault.Invalidf("a history needs a user")
	}
	var rows []sessionRow
	err := p.cfg.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		rows = nil
		tx = tx.Where("user_id = ?", q.UserID)
		if q.ConferenceID != "" {
			tx = tx.Where(besides(tx, "conference_id")+" = ?", q.ConferenceID)
		}
		if q.To != 0 {
			tx = tx.Where("opened_at <= ?", q.To)
		}
		if q.From != 0 {
			tx = tx.Where("(closed_at IS NULL OR closed_at >= ?)", q.From)
		}
		return tx.Order("opened_at DESC, id DESC").Limit(pageSize(q.Limit)).Find(&rows).Error
	})
	if err != nil {
		return nil, fmt.Errorf("read history of user: %w", err)
	}
	slices.Reverse(rows)
	out := make([]Record, len(rows))
	for i, r := range rows {
		out[i] = r.record()
	}
	return out, nil
}

// besides names a column whose index SQLite is not to use: it would rather walk a whole room than sort one user's rows.
func besides(tx *gorm.DB, column string) string {
	if tx.Name() == store.SQLite {
		return "+" + column
	}
	return column
}

func (r *sessionRow) record() Record {
	rec := Record{NodeID: r.NodeID, Reason: r.Reason, Session: Session{
		ID: r.ID, ConferenceID: r.ConferenceID, UserID: r.UserID, UserName: r.UserName, ClientType: r.ClientType, DeviceID: r.DeviceID,
		IP: r.IP, OpenedAt: time.UnixMilli(r.OpenedAt),
	}}
	if r.ClosedAt != nil {
		rec.ClosedAt = *r.ClosedAt
	}
	return rec
}

// Reconnecting returns which of the users are reconnecting, in a conference or, when that is "", in any, and when their
// grace ends: the latest end, in milliseconds since 1970. It joins the snapshot or transaction of ctx.
func (p *Presence) Reconnecting(ctx context.Context, users []string, conferenceID string) (ends map[string]int64, err error) {
	err = p.cfg.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		ends = map[string]int64{}
		for some := range slices.Chunk(distinct(users), chunk) {
			q := tx.Where("user_id IN ? AND state = ?", some, Reconnecting)
			if conferenceID != "" {
				q = q.Where("conference_id = ?", conferenceID)
			}
			var rows []presenceRow
			if err := q.Select("user_id", "offline_due_at").Find(&rows).Error; err != nil {
				return err
			}
			for _, r := range rows {
				ends[r.UserID] = max(ends[r.UserID], r.standing().dueAt)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read who is reconnecting: %w", err)
	}
	return ends, nil
}
