package presence

import (
	"context"
	"fmt"
	"slices"

	"gorm.io/gorm"
)

// OnlineIn returns how many people are online or reconnecting, by conference. Conferences without anybody may be
// missing. It joins the snapshot or transaction of ctx.
func (p *Presence) OnlineIn(ctx context.Context, confs []string) (n map[string]int, err error) {
	err = p.cfg.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		n, err = countOnline(tx, confs)
		return err
	})
	return n, err
}

// OnlineUsers returns how many users are online or reconnecting anywhere. It joins the snapshot or transaction of ctx.
func (p *Presence) OnlineUsers(ctx context.Context) (n int, err error) {
	err = p.cfg.DB.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) error {
		return tx.Raw("SELECT COUNT(DISTINCT user_id) FROM presence WHERE state IN ?", present).Scan(&n).Error
	})
	if err != nil {
		return 0, fmt.Errorf("count users online: %w", err)
	}
	return n, nil
}

// CountUsers returns how many of the ids have a name in the users table. It joins the snapshot or transaction of ctx.
func (p *Presence) CountUsers(ctx context.Context, ids []string) (n int, err error) {
	err = p.cfg.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		n = 0
		for some := range slices.Chunk(distinct(ids), chunk) {
			var found int64
			if err := tx.Model(&userRow{}).Where("id IN ?", some).Count(&found).Error; err != nil {
				return err
			}
			n += int(found)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("count users: %w", err)
	}
	return n, nil
}
