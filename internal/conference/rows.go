package conference

import (
	"fmt"

	"gorm.io/gorm"

	"rollcall/internal/store"
)

// conferenceRow is a row of conferences.
type conferenceRow struct {
	ID        string `gorm:"column:id;primaryKey"`
	Title     string `gorm:"column:title"`
	EndedAt   *int64 `gorm:"column:ended_at"`
	CreatedAt int64  `gorm:"column:created_at;autoCreateTime:false"`
	UpdatedAt int64  `gorm:"column:updated_at;autoUpdateTime:false"`
}

// TableName implements gorm's Tabler.
func (conferenceRow) TableName() string { return "conferences" }

// treeRow is a row of conference_nodes, as strangers may have written it. UpdatedAt is compared, never read.
type treeRow struct {
	ConferenceID      string  `gorm:"column:conference_id;primaryKey"`
	ConferenceStatus  *string `gorm:"column:conference_status"`
	ConferenceContent *string `gorm:"column:conference_content"`
	TopicContent      *string `gorm:"column:topic_content"`
	CountersignData   *string `gorm:"column:countersign_data"`
	Timer             *string `gorm:"column:timer"`
	SameScreen        *string `gorm:"column:same_screen"`
	HeadData          *string `gorm:"column:head_data"`
	SignInData        *string `gorm:"column:sign_in_data"`
	Stamp             string  `gorm:"column:stamp;->"`
}

// TableName implements gorm's Tabler.
func (treeRow) TableName() string { return "conference_nodes" }

// columns returns the sections' columns in their order, "" for NULL.
func (r treeRow) columns() [len(sections)]string {
	var out [len(sections)]string
	for i, p := range [...]*string{r.ConferenceStatus, r.ConferenceContent, r.TopicContent, r.CountersignData, r.Timer, r.SameScreen, r.HeadData, r.SignInData} {
		if p != nil {
			out[i] = *p
		}
	}
	return out
}

// stamped selects updated_at as text under the name stamp, on both dialects.
const stamped = "CAST(updated_at AS CHAR) AS stamp"

// readTree returns the row of a conference; an empty one if there is none.
func readTree(tx *gorm.DB, conferenceID string) (treeRow, error) {
	var row treeRow
	err := tx.Select("*", stamped).Where("conference_id = ?", conferenceID).Take(&row).Error
	if store.NotFound(err) {
		return treeRow{ConferenceID: conferenceID}, nil
	}
	if err != nil {
		return treeRow{}, fmt.Errorf("read tree row: %w", err)
	}
	return row, nil
}

// readConference returns the row of a conference; ok is false if there is none.
func readConference(tx *gorm.DB, conferenceID string) (row conferenceRow, ok bool, err error) {
	err = tx.Where("id = ?", conferenceID).Take(&row).Error
	if store.NotFound(err) {
		return conferenceRow{}, false, nil
	}
	if err != nil {
		return conferenceRow{}, false, fmt.Errorf("read conference row: %w", err)
	}
	return row, true, nil
}
