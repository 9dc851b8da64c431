package presence

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"
)

// sweepMax is the number of users whose grace ends in one round.
const sweepMax = 500

// sweep looks for people whose grace is over, wherever they were lost, until ctx is done.
func (p *Presence) sweep(ctx context.Context) error {
	tick := time.NewTicker(p.sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for more := true; more; {
			err := p.round(ctx, "take users offline", func(ctx context.Context) (err error) {
				more, err = p.expire(ctx)
				return err
			})
			more = more && err == nil
		}
	}
}

// expire takes offline whose grace is over, and reports whether there may be more of them.
func (p *Presence) expire(ctx context.Context) (more bool, err error) {
	var due []presenceRow
	err = p.cfg.DB.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) error {
		return tx.Select("conference_id", "user_id").Where("offline_due_at <= " + clock(tx)).
			Order("offline_due_at").Limit(sweepMax).Find(&due).Error
	})
	if err != nil {
		return false, fmt.Errorf("find users that are due: %w", err)
	}
	return len(due) == sweepMax, p.submit(ctx, looks(due))
}

// looks asks the writer to say again what is true of these users.
func looks(rows []presenceRow) []*op {
	ops := make([]*op, len(rows))
	for i, r := range rows {
		ops[i] = &op{kind: look, row: sessionRow{ConferenceID: r.ConferenceID, UserID: r.UserID}}
	}
	return ops
}
