package notice

import (
	"context"
	"fmt"

	"gorm.io/gorm"
)

// Kinds of Task.
const (
	TaskSend      = "send"      // a scheduled notice is to go out
	TaskExpire    = "expire"    // a notice ends
	TaskUnreached = "unreached" // the backend is to hear of whom it did not reach
)

// unreachedMax is how many users Unreached and Recipients return at most.
const unreachedMax = 10_000

// Task is something that is to be done with a notice at a time.
type Task struct {
	NoticeID, Kind string
	DueAt          int64 // milliseconds since 1970
}

type dueRow struct {
	NoticeID string `gorm:"primaryKey"`
	Kind     string `gorm:"primaryKey"`
	DueAt    int64
}

func (dueRow) TableName() string { return "notice_due" }

// tasksOf returns what is to be done with a notice later.
func tasksOf(e Entry) []dueRow {
	var due []dueRow
	for _, t := range []dueRow{{e.ID, TaskSend, e.SendAt}, {e.ID, TaskExpire, e.ExpiresAt}, {e.ID, TaskUnreached, e.UnreachedAt}} {
		if t.DueAt != 0 {
			due = append(due, t)
		}
	}
	return due
}

// Tasks returns at most limit tasks whose time has come, those that wait longest first. They stay until taken.
func (n *Notices) Tasks(ctx context.Context, limit int) ([]Task, error) {
	var rows []dueRow
	err := n.db.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) error {
		rows = nil
		return tx.Where("due_at <= ?", n.now()).Order("due_at").Limit(limit).Find(&rows).Error
	})
	if err != nil {
		return nil, fmt.Errorf("find tasks that are due: %w", err)
	}
	tasks := make([]Task, len(rows))
	for i, r := range rows {
		tasks[i] = Task(r)
	}
	return tasks, nil
}

// NextTask returns when the next task is due, in milliseconds since 1970, which may be past, or 0 if there is none.
func (n *Notices) NextTask(ctx context.Context) (int64, error) {
	var due int64
	err := n.db.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) error {
		return tx.Raw("SELECT COALESCE(MIN(due_at), 0) FROM notice_due").Scan(&due).Error
	})
	if err != nil {
		return 0, fmt.Errorf("find the next task: %w", err)
	}
	return due, nil
}

// Take takes a task off the list, together with what the caller does about it in the transaction of ctx. It returns
// false when somebody else has taken it, or it was recalled.
func (n *Notices) Take(ctx context.Context, t Task) (bool, error) {
	taken := false
	err := n.db.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		if _, err := lockNotices(tx, []string{t.NoticeID}); err != nil {
			return err
		}
		gone := tx.Where("notice_id = ? AND kind = ? AND due_at = ?", t.NoticeID, t.Kind, t.DueAt).Delete(&dueRow{})
		taken = gone.RowsAffected > 0
		return gone.Error
	})
	if err != nil {
		return false, fmt.Errorf("take a task: %w", err)
	}
	return taken, nil
}

// MarkSent says that a scheduled notice goes out, when, and, of one to all, for how many users; of any other its
// deliveries say that. One that is stored and has nobody yet waits on. It joins the transaction of ctx. One that has
// gone out, or was recalled, is left as it is.
func (n *Notices) MarkSent(ctx context.Context, noticeID string, at int64, users int) error {
	err := n.db.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		state := gorm.Expr("CASE WHEN stored = 1 AND ? = 0 THEN ? ELSE ? END", users, Queued, Sent)
		return tx.Model(&noticeRow{}).Where("id = ? AND sent_at = 0 AND state = ?", noticeID, Queued).
			Updates(map[string]any{"sent_at": at, "sent": users, "state": state}).Error
	})
	if err != nil {
		return fmt.Errorf("mark notice as sent: %w", err)
	}
	return nil
}

// Expire ends a notice: whoever it did not reach does not get it any more, and if it reached nobody its state is
// Expired. It joins the transaction of ctx. An unknown notice, or a recalled one, is nothing.
func (n *Notices) Expire(ctx context.Context, noticeID string) error {
	err := n.db.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		found, err := lockNotices(tx, []string{noticeID})
		if err != nil || len(found) == 0 || found[0].State == Recalled {
			return err
		}
		err = tx.Model(&deliveryRow{}).Where("notice_id = ? AND state IN ?", noticeID, []string{Queued, Unreached}).
			Updates(map[string]any{"state": Expired, "at": n.now(), "inbox": outOfInbox}).Error
		if err != nil {
			return err
		}
		if err := recount(tx, found); err != nil {
			return err
		}
		return tx.Model(&noticeRow{}).Where("id = ? AND sent = 0", noticeID).Update("state", Expired).Error
	})
	if err != nil {
		return fmt.Errorf("expire notice: %w", err)
	}
	return nil
}

// Unreached returns whom a notice has not reached, in the order of their ids, at most 10,000, and notes that they are
// Unreached, so that the next call returns others. Of a notice that must be acknowledged these are the users who have
// neither acknowledged nor read it, of any other those for whom it still waits. It stays in their inboxes. Of a notice
// to all nobody knows. It joins the transaction of ctx.
func (n *Notices) Unreached(ctx context.Context, noticeID string) (users []string, err error) {
	err = n.db.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		users = nil
		found, err := lockNotices(tx, []string{noticeID})
		if err != nil || len(found) == 0 || found[0].ToAll || found[0].State == Recalled {
			return err
		}
		states := []string{Queued, Expired}
		if found[0].RequireAck {
			states = append(states, Sent)
		}
		missed := tx.Model(&deliveryRow{}).Where("notice_id = ? AND state IN ?", noticeID, states).Session(&gorm.Session{})
		if err := missed.Order("user_id").Limit(unreachedMax).Pluck("user_id", &users).Error; err != nil || len(users) == 0 {
			return err
		}
		return missed.Where("user_id <= ?", users[len(users)-1]).Updates(map[string]any{"state": Unreached, "at": n.now()}).Error
	})
	if err != nil {
		return nil, fmt.Errorf("find whom a notice did not reach: %w", err)
	}
	return users, nil
}

// Recipients returns the users whom a notice was addressed to, in the order of their ids: at most limit (1 to 10,000,
// 0 is 10,000) after the user after. Of a notice to all these are only those who did something with it.
func (n *Notices) Recipients(ctx context.Context, noticeID, after string, limit int) ([]string, error) {
	if limit <= 0 {
		limit = unreachedMax
	}
	var users []string
	err := n.db.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) error {
		users = nil
		return tx.Model(&deliveryRow{}).Where("notice_id = ? AND user_id > ?", noticeID, after).
			Order("user_id").Limit(min(limit, unreachedMax)).Pluck("user_id", &users).Error
	})
	if err != nil {
		return nil, fmt.Errorf("read recipients: %w", err)
	}
	return users, nil
}
