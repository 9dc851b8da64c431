package presence

import (
	"context"
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

type barRow struct {
	UserID       string `gorm:"primaryKey"`
	ConferenceID string `gorm:"primaryKey"`
	UntilAt      int64
}

// TableName is for gorm.
func (barRow) TableName() string { return "presence_bars" }

// Bar keeps a user out of a conference, or of all of them when conferenceID is "", until a time in milliseconds since
// 1970 by the clock of the database. The last call counts; a time that is past lifts the bar. Sessions that are open
// stay open. It joins the transaction of ctx.
func (p *Presence) Bar(ctx context.Context, userID, conferenceID string, until int64) error {
	replace := clause.OnConflict{
		Columns:   []clause.Column{{Name: "user_id"}, {Name: "conference_id"}},
		DoUpdates: clause.AssignmentColumns([]string{"until_at"}),
	}
	err := p.cfg.DB.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		return tx.Clauses(replace).Create(&barRow{UserID: userID, ConferenceID: conferenceID, UntilAt: until}).Error
	})
	if err != nil {
		return fmt.Errorf("bar user: %w", err)
	}
	return nil
}

// Barred reports whether a user is kept out of a conference, or, when that is "", of all. It joins the snapshot or
// transaction of ctx.
func (p *Presence) Barred(ctx context.Context, userID, conferenceID string) (barred bool, err error) {
	err = p.cfg.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		var n int64
		err := tx.Model(&barRow{}).Where("user_id = ? AND conference_id IN ? AND until_at > "+clock(tx), userID, []string{"", conferenceID}).Count(&n).Error
		barred = n > 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("read bars of user: %w", err)
	}
	return barred, nil
}
