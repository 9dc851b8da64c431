package presence

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Versions is what only rollcall writes about a conference. Numbers never go back; an unknown conference has zeros.
type Versions struct {
	Tree          int64  `gorm:"column:tree_version"`    // content of the tree or the online number
	Content       int64  `gorm:"column:content_version"` // content of the tree alone
	Roster        int64  `gorm:"column:roster_version"`  // states, devices and members
	Members       int64  `gorm:"column:members_version"` // the members list
	ContentDigest string `gorm:"column:content_digest"`
	StatusJSON    string `gorm:"column:status_json"`
}

// VersionColumns are the columns of Versions in the table conference_versions.
const VersionColumns = "tree_version, content_version, roster_version, members_version, content_digest, status_json"

// Raised says which versions rise.
type Raised struct{ Tree, Roster, Members bool }

type versionRow struct {
	ConferenceID string `gorm:"primaryKey"`
	Versions     `gorm:"embedded"`
}

// TableName is for gorm.
func (versionRow) TableName() string { return "conference_versions" }

// Lock makes tx the only one that changes the conferences until it ends, and returns their versions; "" is skipped. Rows that are missing
// are made. Call it first in a transaction, once, with all conferences: the order is what prevents deadlocks.
func Lock(ctx context.Context, tx *gorm.DB, confs []string) (map[string]Versions, error) {
	tx = tx.WithContext(ctx)
	out := make(map[string]Versions, len(confs))
	for ids := range slices.Chunk(distinct(confs), chunk) {
		if err := lockRows(tx, ids, out); err != nil {
			return nil, err
		}
		var missing []versionRow
		for _, id := range ids {
			if _, locked := out[id]; !locked {
				missing = append(missing, versionRow{ConferenceID: id})
			}
		}
		if len(missing) == 0 {
			continue
		}
		if err := tx.Clauses(clause.OnConflict{DoNothing: true}).Create(&missing).Error; err != nil {
			return nil, fmt.Errorf("make version rows: %w", err)
		}
		if err := lockRows(tx, ids, out); err != nil { // another transaction may have made them
			return nil, err
		}
	}
	return out, nil
}

// lockRows locks the rows that exist and adds what they say to out. On SQLite the transaction is the lock.
func lockRows(tx *gorm.DB, ids []string, out map[string]Versions) error {
	var rows []versionRow
	err := tx.Where("conference_id IN ?", ids).Order("conference_id").Clauses(clause.Locking{Strength: clause.LockingStrengthUpdate}).Find(&rows).Error
	if err != nil {
		return fmt.Errorf("lock conferences: %w", err)
	}
	for _, r := range rows {
		out[r.ConferenceID] = r.Versions
	}
	return nil
}

// ReadVersions returns the versions of one conference.
func ReadVersions(tx *gorm.DB, conf string) (Versions, error) {
	all, err := ReadMany(tx, []string{conf})
	return all[conf], err
}

// ReadMany returns the versions of those conferences that have any.
func ReadMany(tx *gorm.DB, confs []string) (map[string]Versions, error) {
	out := make(map[string]Versions, len(confs))
	for ids := range slices.Chunk(distinct(confs), chunk) {
		var rows []versionRow
		if err := tx.Where("conference_id IN ?", ids).Find(&rows).Error; err != nil {
			return nil, fmt.Errorf("read versions: %w", err)
		}
		for _, r := range rows {
			out[r.ConferenceID] = r.Versions
		}
	}
	return out, nil
}

// Raise adds one to versions of conferences that tx has locked.
func Raise(tx *gorm.DB, confs []string, what Raised) error {
	var set []string
	for _, v := range []struct {
		column string
		rises  bool
	}{{"tree_version", what.Tree}, {"roster_version", what.Roster}, {"members_version", what.Members}} {
		if v.rises {
			set = append(set, v.column+" = "+v.column+" + 1")
		}
	}
	if len(set) == 0 {
		return nil
	}
	update := "UPDATE conference_versions SET " + strings.Join(set, ", ") + " WHERE conference_id IN ?"
	for ids := range slices.Chunk(distinct(confs), chunk) {
		if err := tx.Exec(update, ids).Error; err != nil {
			return fmt.Errorf("raise versions: %w", err)
		}
	}
	return nil
}
