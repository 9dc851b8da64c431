package presence

import (
	"context"
	"fmt"
	"slices"

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

// Bars are who is kept out of what: pairs of conference, "" for all of them, and user.
type Bars map[[2]string]bool

// Keep reports whether a user is kept out of a conference, or, when that is "", of all.
func (b Bars) Keep(userID, conferenceID string) bool {
	return b[pair{"", userID}] || b[pair{conferenceID, userID}]
}

// Bars returns the bars of users that hold now. It joins the snapshot or transaction of ctx.
func (p *Presence) Bars(ctx context.Context, users []string) (bars Bars, err error) {
	err = p.cfg.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		bars = Bars{}
		for some := range slices.Chunk(distinct(users), chunk) {
			var rows []barRow
			if err := tx.Where("user_id IN ? AND until_at > "+clock(tx), some).Find(&rows).Error; err != nil {
				return err
			}
			for _, r := range rows {
				bars[pair{r.ConferenceID, r.UserID}] = true
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read bars of users: %w", err)
	}
	return bars, nil
}
