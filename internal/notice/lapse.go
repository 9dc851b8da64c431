package notice

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/store"
)

const (
	lapseEvery = 2 * time.Second // between two looks
	lapseAfter = time.Second     // the clocks of nodes differ a little
)

// lapses ends, soon after their time, messages that were kept for users who did not come back, until ctx ends. Every
// node does it; who deletes a row has ended it.
func (n *Notices) lapses(ctx context.Context) {
	every := time.NewTicker(lapseEvery)
	defer every.Stop()
	for failing := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		err := n.net.Try("end what was kept", func() error { return n.lapse(ctx) })
		if err != nil && !failing && ctx.Err() == nil {
			n.later.log.Warn("what was kept for users who did not come back cannot be ended, it is tried again", slog.Any("error", err))
		}
		failing = err != nil
	}
}

// lapse ends all whose time is over.
func (n *Notices) lapse(ctx context.Context) error {
	for {
		var over []heldRow
		err := n.db.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
			return tx.Select("user_id", "id", "notice_id").Where("expires_at <= ?", n.now()-lapseAfter.Milliseconds()).Order("expires_at").Limit(rowBatch).Find(&over).Error
		})
		if err == nil && len(over) > 0 {
			err = n.db.Write(ctx, func(_ context.Context, tx *gorm.DB) error { return n.end(tx, over) })
		}
		if err != nil {
			return fmt.Errorf("end what was kept: %w", err)
		}
		if len(over) < rowBatch {
			return nil
		}
	}
}

// end deletes those of the rows that nobody has taken, and notes that their notices have not reached their users.
func (n *Notices) end(tx *gorm.DB, over []heldRow) error {
	ids, keys := make([]string, len(over)), make([][2]string, len(over))
	for i, h := range over {
		ids[i], keys[i] = h.NoticeID, [2]string{h.UserID, h.ID}
	}
	slices.Sort(ids)
	if _, err := lockNotices(tx, slices.Compact(ids)); err != nil {
		return err
	}
	var left []heldRow
	if err := locking(tx).Select("user_id", "id", "notice_id").Where(store.Pairs(tx, "user_id", "id", keys)).Find(&left).Error; err != nil || len(left) == 0 {
		return err
	}
	missed := make([][2]string, len(left))
	for i, h := range left {
		missed[i], keys[i] = [2]string{h.NoticeID, h.UserID}, [2]string{h.UserID, h.ID}
	}
	if err := tx.Where(store.Pairs(tx, "user_id", "id", keys[:len(left)])).Delete(&heldRow{}).Error; err != nil {
		return err
	}
	return tx.Model(&deliveryRow{}).Where(store.Pairs(tx, "notice_id", "user_id", missed)).Where("state = ?", Queued).
		Updates(map[string]any{"state": Unreached, "at": n.now()}).Error
}
