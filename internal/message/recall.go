package message

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"rollcall/internal/hall"
	"rollcall/internal/notice"
	"rollcall/internal/store"
)

// Recall takes a notice out of every inbox and tells those who have it. One that was recalled before, or has not gone
// out, nobody is told of. An unknown notice is a fault of kind NotFound.
func (m *Messages) Recall(ctx context.Context, noticeID string) error {
	err := m.DB.Write(ctx, func(ctx context.Context, _ *gorm.DB) error {
		e, fresh, err := m.Notices.Recall(ctx, noticeID)
		if err != nil || !fresh {
			return err
		}
		users, err := m.recipients(ctx, e)
		if err != nil {
			return err
		}
		return m.tellRecalled(ctx, e, users)
	})
	if err != nil {
		return fmt.Errorf("recall a notice: %w", err)
	}
	return nil
}

// tellRecalled has those who may have a notice told, wherever they are now, that it is none any more.
func (m *Messages) tellRecalled(ctx context.Context, e notice.Entry, users []string) error {
	store.AfterCommit(ctx, func() { m.repeats.end(e.ID, "") }) // other nodes find out before they send it again
	if e.SentAt == 0 {
		return nil
	}
	payload, err := encode(struct {
		ID string `json:"id"`
		At int64  `json:"at"`
	}{e.ID, m.now()})
	if err != nil {
		return err
	}
	return m.Cluster.Emit(ctx, hall.Audience{Users: users, All: e.ToAll, Except: e.Except}, recallEvent, payload)
}
