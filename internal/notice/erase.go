package notice

import (
	"context"
	"fmt"

	"gorm.io/gorm"
)

// Erase takes the name, the addresses and the devices of a user out of the log; what was said stays. It joins the
// transaction of ctx.
func (n *Notices) Erase(ctx context.Context, userID string) error {
	return n.db.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		for _, s := range []string{
			"UPDATE notices SET message = JSON_SET(message, '$.userName', '') WHERE sender_id = ? AND event IN ('" + OnlineNotice + "', '" + OfflineNotice + "') AND JSON_VALID(message)",
			"UPDATE notices SET sender_name = '', from_ip = '' WHERE sender_id = ?",
			"UPDATE notice_deliveries SET ip = '', device_id = '' WHERE user_id = ?",
		} {
			if err := tx.Exec(s, userID).Error; err != nil {
				return fmt.Errorf("erase user from the notice log: %w", err)
			}
		}
		return nil
	})
}
