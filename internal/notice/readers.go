package notice

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"
)

// waitingOf is how many users one statement asks about.
const waitingOf = 25

// Waiting says what there is for a user who has just connected.
type Waiting struct {
	Unread  bool // something is unread
	Held    bool // TakeHeld has something
	Unacked bool // Unacked has something
}

type readerRow struct {
	UserID  string `gorm:"primaryKey"`
	KnownAt int64
}

func (readerRow) TableName() string { return "notice_readers" }

type markRow struct {
	UserID   string `gorm:"primaryKey"`
	Category string `gorm:"primaryKey"`
	ReadUpto int64
}

func (markRow) TableName() string { return "notice_marks" }

// Waiting tells for each of the users who have just connected what there is for him, in any view. It also notes that
// they are known from now on, of those who are not yet.
func (n *Notices) Waiting(ctx context.Context, users []string) (map[string]Waiting, error) {
	users = slices.Compact(slices.Sorted(slices.Values(users)))
	if err := n.note(ctx, users); err != nil {
		return nil, fmt.Errorf("note who is known: %w", err)
	}
	all := make(map[string]Waiting, len(users))
	err := n.db.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		clear(all)
		for _, user := range users {
			all[user] = Waiting{}
		}
		some, err := n.perhaps(tx, users)
		if err != nil {
			return err
		}
		for part := range slices.Chunk(some, waitingOf) {
			if err := n.waiting(tx, part, all); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look what waits: %w", err)
	}
	return all, nil
}

// perhaps returns those of the users, who are known, for whom something may wait. When everybody comes at once that are few, and for the
// others this is enough: no mail, nothing held, and all that was ever sent to everybody is read.
func (n *Notices) perhaps(tx *gorm.DB, users []string) (some []string, err error) {
	var newest int64
	err = tx.Raw(`SELECT COALESCE(MAX(sent_at), 0) FROM (SELECT MAX(sent_at) AS sent_at FROM notices WHERE to_all = 1 AND require_ack = 0
		UNION ALL SELECT MAX(sent_at) FROM notices WHERE to_all = 1 AND require_ack = 1) AS s`).Scan(&newest).Error
	if err != nil {
		return nil, fmt.Errorf("look when something was sent to all: %w", err)
	}
	err = inParts(users, func(part []string) error {
		var found []string
		// No EXISTS: MariaDB may turn it into a look at the whole table.
		err := tx.Raw(`SELECT r.user_id FROM notice_readers AS r WHERE r.user_id IN ? AND (
			(SELECT 1 FROM notice_deliveries AS d WHERE d.user_id = r.user_id AND d.inbox = ? LIMIT 1) = 1
			OR (SELECT 1 FROM notice_held AS h WHERE h.user_id = r.user_id LIMIT 1) = 1
			OR COALESCE((SELECT m.read_upto FROM notice_marks AS m WHERE m.user_id = r.user_id AND m.category = ''), 0) < ?)`, part, unread, newest).Scan(&found).Error
		some = append(some, found...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for whom something waits: %w", err)
	}
	return some, nil
}

// note writes down since when users are known, of those who are not yet.
func (n *Notices) note(ctx context.Context, users []string) error {
	var missing []readerRow
	err := n.db.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) error {
		missing = nil
		return inParts(users, func(part []string) error {
			var known []string
			if err := tx.Model(&readerRow{}).Where("user_id IN ?", part).Pluck("user_id", &known).Error; err != nil {
				return err
			}
			for _, user := range part {
				if !slices.Contains(known, user) {
					missing = append(missing, readerRow{user, n.now()})
				}
			}
			return nil
		})
	})
	if err != nil || len(missing) == 0 {
		return err
	}
	return n.db.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		return keeping(tx).CreateInBatches(missing, insertBatch(tx)).Error
	})
}

// waiting asks each source, for each user, for one row: that stops at the first.
func (n *Notices) waiting(tx *gorm.DB, users []string, all map[string]Waiting) error {
	marks, err := marksOf(tx, users)
	if err != nil {
		return err
	}
	var parts []string
	var args []any
	for i, user := range users {
		r := &reading{tx: tx, view: View{UserID: user, Whole: true}, now: n.now(), marks: marks[user]}
		for kind, w := range map[string]want{"unread": {unread: true, live: true}, "unacked": {unacked: true, live: true, requireAck: true}} {
			for _, source := range []func(*query){
				func(q *query) { r.targeted(q, unread, w) },
				func(q *query) { r.toAll(q, w) },
			} {
				q := &query{}
				source(q)
				parts = append(parts, fmt.Sprintf("SELECT * FROM (SELECT %d AS user_no, '%s' AS kind%s LIMIT 1) AS w", i, kind, q.sql.String()))
				args = append(args, q.args...)
			}
		}
		parts = append(parts, fmt.Sprintf("SELECT * FROM (SELECT %d AS user_no, 'held' AS kind FROM notice_held WHERE user_id = ? AND expires_at > ? LIMIT 1) AS w", i))
		args = append(args, user, r.now)
	}
	var found []struct {
		UserNo int
		Kind   string
	}
	if err := tx.Raw(strings.Join(parts, " UNION ALL "), args...).Scan(&found).Error; err != nil {
		return err
	}
	for _, f := range found {
		w := all[users[f.UserNo]]
		w.Unread, w.Unacked, w.Held = w.Unread || f.Kind == "unread", w.Unacked || f.Kind == "unacked", w.Held || f.Kind == "held"
		all[users[f.UserNo]] = w
	}
	return nil
}

// marksOf returns the marks of users by category.
func marksOf(tx *gorm.DB, users []string) (map[string]map[string]int64, error) {
	var rows []markRow
	if err := tx.Where("user_id IN ?", users).Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("read marks: %w", err)
	}
	marks := map[string]map[string]int64{}
	for _, m := range rows {
		if marks[m.UserID] == nil {
			marks[m.UserID] = map[string]int64{}
		}
		marks[m.UserID][m.Category] = m.ReadUpto
	}
	return marks, nil
}

// Known returns how many users the service has heard of: those who have been here and those who are registered.
func (n *Notices) Known(ctx context.Context) (int, error) {
	var count int
	err := n.db.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) error {
		return tx.Raw("SELECT (SELECT COUNT(*) FROM users) + (SELECT COUNT(*) FROM notice_readers AS r WHERE NOT EXISTS (SELECT 1 FROM users AS u WHERE u.id = r.user_id))").Scan(&count).Error
	})
	if err != nil {
		return 0, fmt.Errorf("count known users: %w", err)
	}
	return count, nil
}
