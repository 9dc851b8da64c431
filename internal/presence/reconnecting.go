package presence

import (
	"context"
	"fmt"

	"gorm.io/gorm"
)

// reconnectingMost is how many users AllReconnecting returns at most.
const reconnectingMost = 10_000

// AllReconnecting returns who is reconnecting, in a conference or, with "", in any, at most 10,000 users, and when the
// grace of each ends, in milliseconds since 1970. It joins the snapshot or transaction of ctx.
func (p *Presence) AllReconnecting(ctx context.Context, conferenceID string) (ends map[string]int64, err error) {
	err = p.cfg.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		ends = map[string]int64{}
		q := tx.Model(&presenceRow{}).Select("user_id, MAX(offline_due_at) AS ends").Where("state = ? AND offline_due_at IS NOT NULL", Reconnecting)
		if conferenceID != "" {
			q = q.Where("conference_id = ?", conferenceID)
		}
		var rows []struct {
			UserID string
			Ends   int64
		}
		err := q.Group("user_id").Limit(reconnectingMost).Find(&rows).Error
		for _, r := range rows {
			ends[r.UserID] = r.Ends
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read who is reconnecting: %w", err)
	}
	return ends, nil
}
