package notice

import (
	"context"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"rollcall/internal/store"
)

// AckWanted returns the conferences of those of the notices that must be acknowledged, by their ids. It joins the
// transaction of ctx.
func (n *Notices) AckWanted(ctx context.Context, ids []string) (map[string]string, error) {
	conferences := map[string]string{}
	err := n.db.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		clear(conferences)
		return inParts(ids, func(part []string) error {
			var rows []noticeRow
			err := tx.Select("id", "conference_id").Where("id IN ? AND require_ack = ?", part, true).Find(&rows).Error
			for _, r := range rows {
				conferences[r.ID] = r.ConferenceID
			}
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("look which notices must be acknowledged: %w", err)
	}
	return conferences, nil
}

// Over returns those of the pairs of notice and user, at most 200, for which there is nothing more to wait:
// acknowledged or read on whatever node, expired, or recalled.
func (n *Notices) Over(ctx context.Context, pairs [][2]string) (map[[2]string]bool, error) {
	over := make(map[[2]string]bool, len(pairs))
	err := n.db.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		clear(over)
		ids := make([]string, len(pairs))
		for i, p := range pairs {
			ids[i] = p[0]
		}
		var recalled []string
		if err := tx.Model(&noticeRow{}).Where("id IN ? AND state = ?", ids, Recalled).Pluck("id", &recalled).Error; err != nil {
			return err
		}
		for _, p := range pairs {
			if slices.Contains(recalled, p[0]) {
				over[p] = true
			}
		}
		var rows []deliveryRow
		err := tx.Select("notice_id", "user_id").Where(store.Pairs(tx, "notice_id", "user_id", pairs)).
			Where("(acked_at IS NOT NULL OR read_at IS NOT NULL OR state IN ?)", []string{Acked, Read, Expired, Recalled}).Find(&rows).Error
		for _, r := range rows {
			over[[2]string{r.NoticeID, r.UserID}] = true
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look what was acknowledged: %w", err)
	}
	return over, nil
}
