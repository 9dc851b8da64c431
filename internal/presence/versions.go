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
	Tree          int64 // content of the tree or the online number
	Content       int64 // content of the tree alone
	Roster        int64 // states, devices and members
	Members       int64 // the members list
	ContentDigest string
	StatusJSON    string
}

// Raised says which versions rise.
type Raised struct{ Tree, Roster, Members bool }

type versionRow struct {
	ConferenceID   string `gorm:"primaryKey"`
	TreeVersion    int64
	ContentVersion int64
	RosterVersion  int64
	MembersVersion int64
	ContentDigest  string
	StatusJSON     string
}

// TableName is for gorm.
func (versionRow) TableName() string { return "conference_versions" }

func (r versionRow) versions() Versions {
	return Versions{
		Tree: r.TreeVersion, Content: r.ContentVersion, Roster: r.RosterVersion, Members: r.MembersVersion,
		ContentDigest: r.ContentDigest, StatusJSON: r.StatusJSON,
	}
}

// Lock makes tx the only one that changes the conferences until it ends; "" is skipped. Rows that are missing
// are made. Call it first in a transaction, once, with all conferences: the order is what prevents deadlocks.
func Lock(ctx context.Context, tx *gorm.DB, confs []string) error {
	tx = tx.WithContext(ctx)
	for ids := range slices.Chunk(distinct(confs), chunk) {
		locked, err := lockRows(tx, ids)
		if err != nil {
			return err
		}
		if len(locked) == len(ids) {
			continue
		}
		var missing []versionRow
		for _, id := range ids {
			if _, ok := slices.BinarySearch(locked, id); !ok {
				missing = append(missing, versionRow{ConferenceID: id})
			}
		}
		if err := tx.Clauses(clause.OnConflict{DoNothing: true}).Create(&missing).Error; err != nil {
			return fmt.Errorf("make version rows: %w", err)
		}
		if _, err := lockRows(tx, ids); err != nil { // another transaction may have made them
			return err
		}
	}
	return nil
}

// lockRows locks the rows that exist and returns their ids, sorted. On SQLite the transaction is the lock.
func lockRows(tx *gorm.DB, ids []string) (locked []string, err error) {
	err = tx.Model(&versionRow{}).Where("conference_id IN ?", ids).Order("conference_id").
		Clauses(clause.Locking{Strength: clause.LockingStrengthUpdate}).Pluck("conference_id", &locked).Error
	if err != nil {
		return nil, fmt.Errorf("lock conferences: %w", err)
	}
	return locked, nil
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
			out[r.ConferenceID] = r.versions()
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
