package notice

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/id"
	"rollcall/internal/store"
)

const (
	trimFirst   = time.Minute           // after the start, when there is more to do
	trimEvery   = time.Hour             // between two rounds
	trimBatch   = 500                   // rows of a table that one transaction deletes at most
	trimPause   = 20 * time.Millisecond // between two transactions, so that nobody waits long
	numbersKept = 24 * time.Hour        // of the messages that clients numbered
)

// Trim deletes a minute from now, and then each hour until ctx ends, what the log need not keep: notices older than
// Config.Retention with their deliveries, and old numbers of clients. It does so in small transactions, however much
// there is; several nodes may do it at once. It returns nil. Run runs it.
func (n *Notices) Trim(ctx context.Context) error {
	for wait := n.firstTrim; ; wait = trimEvery {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		if err := n.net.Try("trim the notice log", func() error { return n.trim(ctx) }); err != nil && ctx.Err() == nil {
			n.later.log.Warn("the notice log was not trimmed, it is tried again in an hour", slog.Any("error", err))
		}
	}
}

// trim deletes all that is too old now.
func (n *Notices) trim(ctx context.Context) error {
	now := time.UnixMilli(n.now())
	if err := n.trimAged(ctx, aged{"notice_client_messages", "created_at", "sender_id", "client_msg_id"}, now.Add(-numbersKept).UnixMilli()); err != nil {
		return err
	}
	if n.retention <= 0 {
		return nil
	}
	return n.trimLog(ctx, id.Floor(now.Add(-n.retention)))
}

// trimLog deletes the notices below an ID, oldest first. What belongs to a notice goes before it: when the process
// ends in between, the next round finds the rest by the same IDs.
func (n *Notices) trimLog(ctx context.Context, cutoff string) error {
	for from := ""; from != cutoff; {
		to := cutoff
		err := n.db.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) error {
			var ids []string
			err := tx.Table("notices").Where("id >= ? AND id < ?", from, cutoff).Order("id").Offset(trimBatch).Limit(1).Pluck("id", &ids).Error
			if len(ids) > 0 {
				to = ids[0]
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("find old notices: %w", err)
		}
		if err := n.trimDeliveries(ctx, from, to); err != nil {
			return err
		}
		err = n.db.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
			if err := tx.Exec("DELETE FROM notice_due WHERE notice_id >= ? AND notice_id < ?", from, to).Error; err != nil {
				return err
			}
			return tx.Exec("DELETE FROM notices WHERE id >= ? AND id < ?", from, to).Error
		})
		if err != nil {
			return fmt.Errorf("delete old notices: %w", err)
		}
		if from = to; !breathe(ctx) {
			return ctx.Err()
		}
	}
	return nil
}

// trimDeliveries deletes those of the notices between two IDs. One notice may have more than fit into a transaction.
func (n *Notices) trimDeliveries(ctx context.Context, from, to string) error {
	for {
		var next []deliveryRow
		err := n.db.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
			next = nil
			err := tx.Select("notice_id, user_id").Where("notice_id >= ? AND notice_id < ?", from, to).Order("notice_id, user_id").Offset(trimBatch).Limit(1).Find(&next).Error
			if err != nil {
				return err
			}
			if len(next) == 0 {
				return tx.Exec("DELETE FROM notice_deliveries WHERE notice_id >= ? AND notice_id < ?", from, to).Error
			}
			return tx.Exec("DELETE FROM notice_deliveries WHERE notice_id >= ? AND notice_id < ? OR notice_id = ? AND user_id < ?", from, next[0].NoticeID, next[0].NoticeID, next[0].UserID).Error
		})
		if err != nil {
			return fmt.Errorf("delete deliveries of old notices: %w", err)
		}
		if len(next) == 0 {
			return nil
		}
		if from = next[0].NoticeID; !breathe(ctx) {
			return ctx.Err()
		}
	}
}

// aged is a table with a time, and the two columns of its primary key.
type aged struct{ name, time, a, b string }

// trimAged deletes the rows whose time is at or before a moment.
func (n *Notices) trimAged(ctx context.Context, t aged, until int64) error {
	for {
		var keys []struct{ A, B string }
		err := n.db.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
			keys = nil
			err := tx.Table(t.name).Select(t.a+" AS a, "+t.b+" AS b").Where(t.time+" <= ?", until).Order(t.time).Limit(rowBatch).Scan(&keys).Error
			if err != nil || len(keys) == 0 {
				return err
			}
			pairs := make([][2]string, len(keys))
			for i, k := range keys {
				pairs[i] = [2]string{k.A, k.B}
			}
			return tx.Table(t.name).Where(store.Pairs(tx, t.a, t.b, pairs)).Where(t.time+" <= ?", until).Delete(nil).Error
		})
		if err != nil {
			return fmt.Errorf("trim %s: %w", t.name, err)
		}
		if len(keys) < rowBatch {
			return nil
		}
		if !breathe(ctx) {
			return ctx.Err()
		}
	}
}

// breathe lets others have the database for a moment. It reports whether there is time to go on.
func breathe(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(trimPause):
		return true
	}
}
