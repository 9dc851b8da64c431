package presence

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"rollcall/internal/fault"
)

// Member is somebody who belongs to a conference, there or not.
type Member struct {
	UserID  string
	Name    string          // at most 255 characters; shown when neither token nor users table has one
	Role    string          // at most 16 characters; "" is "member"
	Attrs   json.RawMessage // free; at most 65535 bytes; nil when there are none
	Sort    int64           // place in the roster, ties by user id
	Excused bool
}

// ReplaceMembers makes members the whole list of a conference and returns the ids of those who are no longer on
// it, sorted. A user given twice is a fault Invalid. It joins the transaction of ctx.
func (p *Presence) ReplaceMembers(ctx context.Context, conf string, members []Member) (removed []string, err error) {
	rows, err := memberRows(conf, members)
	if err != nil {
		return nil, err
	}
	err = p.change(ctx, conf, rows, func(tx *gorm.DB) error {
		var before []string
		if err := tx.Model(&memberRow{}).Where("conference_id = ?", conf).Order("user_id").Pluck("user_id", &before).Error; err != nil {
			return fmt.Errorf("read members: %w", err)
		}
		removed = slices.DeleteFunc(before, func(user string) bool {
			_, stays := slices.BinarySearchFunc(rows, user, func(r memberRow, id string) int { return strings.Compare(r.UserID, id) })
			return stays
		})
		if err := tx.Where("conference_id = ?", conf).Delete(&memberRow{}).Error; err != nil {
			return fmt.Errorf("clear members: %w", err)
		}
		return nil
	})
	return removed, err
}

// AddMembers adds some members or changes them. A user given twice is a fault Invalid. It joins the transaction
// of ctx.
func (p *Presence) AddMembers(ctx context.Context, conf string, members []Member) error {
	rows, err := memberRows(conf, members)
	if err != nil {
		return err
	}
	return p.change(ctx, conf, rows, func(*gorm.DB) error { return nil })
}

// RemoveMember takes a user off the list, or returns a fault NotFound. It joins the transaction of ctx.
func (p *Presence) RemoveMember(ctx context.Context, conf, user string) error {
	return p.change(ctx, conf, nil, func(tx *gorm.DB) error {
		done := tx.Where("conference_id = ? AND user_id = ?", conf, user).Delete(&memberRow{})
		if done.Error != nil {
			return fmt.Errorf("remove member: %w", done.Error)
		}
		if done.RowsAffected == 0 {
			return fault.New(fault.NotFound, "not_found", "the user is not a member of this conference")
		}
		return nil
	})
}

// Members returns members in the order of the list, from cursor on ("" is the start), and the cursor of the next
// page, "" when there is none. limit 0 is 50. A cursor that this method did not make is a fault Invalid
// "bad_cursor". It joins the transaction of ctx.
func (p *Presence) Members(ctx context.Context, conf, cursor string, limit int) (items []Member, next string, err error) {
	from, err := parseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	limit = pageSize(limit)
	var rows []memberRow
	err = p.cfg.DB.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) error {
		q := tx.Where("conference_id = ?", conf)
		if from.User != "" {
			q = q.Where("(sort > ? OR sort = ? AND user_id > ?)", from.Key, from.Key, from.User)
		}
		return q.Order("sort, user_id").Limit(limit + 1).Find(&rows).Error
	})
	if err != nil {
		return nil, "", fmt.Errorf("read members: %w", err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		last := rows[limit-1]
		next = position{Key: last.Sort, User: last.UserID}.cursor()
	}
	items = make([]Member, len(rows))
	for i, r := range rows {
		items[i] = r.member()
	}
	return items, next, nil
}

// change runs first and then writes rows, under the lock of the conference, and raises its versions.
func (p *Presence) change(ctx context.Context, conf string, rows []memberRow, first func(tx *gorm.DB) error) error {
	return p.cfg.DB.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		if _, err := Lock(ctx, tx, []string{conf}); err != nil {
			return err
		}
		if err := first(tx); err != nil {
			return err
		}
		replace := clause.OnConflict{
			Columns:   []clause.Column{{Name: "conference_id"}, {Name: "user_id"}},
			DoUpdates: clause.AssignmentColumns([]string{"name", "role", "attrs", "sort", "excused"}),
		}
		for some := range slices.Chunk(rows, chunk) {
			if err := tx.Clauses(replace).Create(&some).Error; err != nil {
				return fmt.Errorf("write members: %w", err)
			}
		}
		if err := Raise(tx, []string{conf}, Raised{Roster: true, Members: true}); err != nil {
			return err
		}
		to := make(map[string]naming, len(rows))
		for _, r := range rows {
			to[r.UserID] = naming{r.Name, fromMembers}
		}
		return p.rename(ctx, tx, conf, to)
	})
}

// memberRows checks members and returns their rows, sorted by user.
func memberRows(conf string, members []Member) ([]memberRow, error) {
	rows := make([]memberRow, len(members))
	for i, m := range members {
		if err := checkName(m.Name); err != nil {
			return nil, err
		}
		rows[i] = memberRow{ConferenceID: conf, UserID: m.UserID, Name: m.Name, Role: m.Role, Sort: m.Sort, Excused: flag(m.Excused)}
		if m.Role == "" {
			rows[i].Role = "member"
		}
		if m.Attrs != nil {
			text := string(m.Attrs)
			rows[i].Attrs = &text
		}
	}
	slices.SortFunc(rows, func(a, b memberRow) int { return strings.Compare(a.UserID, b.UserID) })
	for i := 1; i < len(rows); i++ {
		if rows[i].UserID == rows[i-1].UserID {
			return nil, fault.Invalidf("user %s is in the list twice", rows[i].UserID)
		}
	}
	return rows, nil
}
