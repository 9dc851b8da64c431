package presence

import (
	"context"
	"fmt"

	"gorm.io/gorm"
)

// CloseConference closes all sessions in a conference, of whatever node, as kicked, takes everybody offline who is
// still in his grace, and returns the ids of the sessions. Ending their sockets is the caller's. It returns when
// that is committed, and must not be called within a transaction. After an error there may be ids nevertheless: their
// sockets are to be ended as well.
func (p *Presence) CloseConference(ctx context.Context, conf string) ([]string, error) {
	return p.kick(ctx, func(tx *gorm.DB) *gorm.DB { return tx.Where("conference_id = ?", conf) })
}

// CloseUsers does what CloseConference does for some users, 500 at most, in one conference, or everywhere when conf is "".
func (p *Presence) CloseUsers(ctx context.Context, users []string, conf string) ([]string, error) {
	return p.kick(ctx, func(tx *gorm.DB) *gorm.DB {
		if tx = tx.Where("user_id IN ?", users); conf != "" {
			tx = tx.Where("conference_id = ?", conf)
		}
		return tx
	})
}

// kick closes the sessions and ends the presence that whom selects.
func (p *Presence) kick(ctx context.Context, whom func(*gorm.DB) *gorm.DB) ([]string, error) {
	var sessions []sessionRow
	var people []presenceRow
	var now int64
	err := p.cfg.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		if err := tx.Raw("SELECT " + clock(tx)).Scan(&now).Error; err != nil {
			return err
		}
		if err := whom(tx).Where("closed_at IS NULL").Order("id").Find(&sessions).Error; err != nil {
			return err
		}
		return whom(tx).Where("state IN ?", present).Find(&people).Error
	})
	if err != nil {
		return nil, fmt.Errorf("find sessions to close: %w", err)
	}
	ids := make([]string, len(sessions))
	ops := make([]*op, 0, len(sessions)+len(people))
	for i, s := range sessions {
		ids[i] = s.ID
		ops = append(ops, closeRow(s, Kicked, now))
	}
	for _, r := range people {
		ops = append(ops, &op{kind: end, why: Kicked, row: sessionRow{ConferenceID: r.ConferenceID, UserID: r.UserID}})
	}
	if err := p.submit(ctx, ops); err != nil {
		return ids, fmt.Errorf("close sessions: %w", err)
	}
	return ids, nil
}
