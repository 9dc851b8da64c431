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
		store.AfterCommit(ctx, func() { m.tellRecalled(e, users) })
		return nil
	})
	if err != nil {
		return fmt.Errorf("recall a notice: %w", err)
	}
	return nil
}

func (m *Messages) tellRecalled(e notice.Entry, users []string) {
	m.repeats.end(e.ID, "")
	if e.SentAt == 0 {
		return
	}
	payload, err := encode(struct {
		ID string `json:"id"`
		At int64  `json:"at"`
	}{e.ID, m.now()})
	if m.note("tell of a recall", err); err == nil { // wherever they are now
		m.Hall.Emit(hall.Audience{Users: users, All: e.ToAll, Except: e.Except}, recallEvent, payload)
	}
}
