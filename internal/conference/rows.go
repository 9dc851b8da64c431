package conference

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"rollcall/internal/presence"
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

// fields returns the sections' columns in their order.
func (r *treeRow) fields() [len(sections)]**string {
	return [...]**string{&r.ConferenceStatus, &r.ConferenceContent, &r.TopicContent, &r.CountersignData, &r.Timer, &r.SameScreen, &r.HeadData, &r.SignInData}
}

// columns returns what they hold, "" for NULL.
func (r *treeRow) columns() (out [len(sections)]string) {
	for i, p := range r.fields() {
		if *p != nil {
			out[i] = **p
		}
	}
	return out
}

// set puts columns, by name, into the row as it is remembered; nil is NULL.
func (r *treeRow) set(columns map[string]*string) {
	for i, p := range r.fields() {
		if text, ok := columns[sections[i].column]; ok {
			*p = text
		}
	}
}

// content makes sense of the row, given what else is remembered of the tree. known is as for read.
func (r *treeRow) content(v presence.Versions, known content) content {
	return read(r.columns(), v.StatusJSON, known)
}

// missing reports whether there is no such row.
func (r *treeRow) missing() bool { return r.Stamp == "" }

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

// knownRow is what there is to know of the tree of a conference that has versions.
type knownRow struct {
	Versions presence.Versions `gorm:"embedded"`
	Tree     treeRow           `gorm:"embedded"`
	EndedAt  *int64
}

const selectKnown = "SELECT " + presence.VersionColumns + ", n.*, CAST(n.updated_at AS CHAR) AS stamp, c.ended_at FROM conference_versions AS v" +
	" LEFT JOIN conference_nodes AS n ON n.conference_id = ? LEFT JOIN conferences AS c ON c.id = ? WHERE v.conference_id = ?"

// readKnown reads it in one statement. ok is false if the conference has no versions, whatever else there is of it.
func readKnown(tx *gorm.DB, conferenceID string) (knownRow, bool, error) {
	return findKnown(tx, selectKnown, conferenceID)
}

// lockKnown is readKnown and presence.Lock in one statement. Whoever writes the tree row behind our back waits until tx ends, too.
func lockKnown(ctx context.Context, tx *gorm.DB, conferenceID string) (knownRow, error) {
	locking := selectKnown
	if tx.Name() == store.MySQL { // on SQLite the transaction is the lock
		locking += " FOR UPDATE"
	}
	row, ok, err := findKnown(tx, locking, conferenceID)
	if err != nil || ok {
		return row, err
	}
	if _, err := presence.Lock(ctx, tx, []string{conferenceID}); err != nil { // which makes the versions
		return knownRow{}, err
	}
	row, _, err = findKnown(tx, locking, conferenceID)
	return row, err
}

func findKnown(tx *gorm.DB, statement, conferenceID string) (row knownRow, ok bool, err error) {
	found := tx.Raw(statement, conferenceID, conferenceID, conferenceID).Scan(&row)
	if found.Error != nil {
		return knownRow{}, false, fmt.Errorf("read tree and versions: %w", found.Error)
	}
	row.Tree.ConferenceID = conferenceID
	return row, found.RowsAffected > 0, nil
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
