package notice

import (
	"context"
	"fmt"

	"gorm.io/gorm"
)

// Recall takes a notice back: out of every inbox, and what was still to be done with it is not. It returns the
// notice as it is then, and false if it had been recalled before. It joins the transaction of ctx. An unknown
// notice is a fault of kind NotFound.
func (n *Notices) Recall(ctx context.Context, noticeID string) (e Entry, fresh bool, err error) {
	if !wellFormed(noticeID) {
		return Entry{}, false, noSuchNotice()
	}
	err = n.db.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		fresh = false
		found, err := lockNotices(tx, []string{noticeID})
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return noSuchNotice()
		}
		if found[0].State != Recalled {
			fresh = true
			if err := n.recall(tx, noticeID); err != nil {
				return err
			}
		}
		var row noticeRow
		if err := tx.Where("id = ?", noticeID).Take(&row).Error; err != nil {
			return err
		}
		entries := []Entry{row.entry()}
		err = addRecipients(tx, entries)
		e = entries[0]
		return err
	})
	if err != nil {
		return Entry{}, false, fmt.Errorf("recall notice: %w", err)
	}
	return e, fresh, nil
}

func (n *Notices) recall(tx *gorm.DB, noticeID string) error {
	if err := tx.Model(&noticeRow{}).Where("id = ?", noticeID).Update("state", Recalled).Error; err != nil {
		return err
	}
	err := tx.Model(&deliveryRow{}).Where("notice_id = ?", noticeID).
		Updates(map[string]any{"state": Recalled, "at": n.now(), "inbox": outOfInbox}).Error
	if err != nil {
		return err
	}
	if err := tx.Where("notice_id = ?", noticeID).Delete(&dueRow{}).Error; err != nil {
		return err
	}
	return tx.Where("notice_id = ?", noticeID).Delete(&heldRow{}).Error
}
