package presence

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"gorm.io/gorm"
)

// Entry is one user of a roster.
type Entry struct {
	UserID   string
	UserName string
	Role     string          // as the members list says, else as his token does; "" when nobody says it
	Attrs    json.RawMessage // nil when there are none
	State    State           // online, reconnecting, absent or excused
	Since    int64           // when the state began, in milliseconds since 1970; 0 for a member who never came
	Member   bool
	Excused  bool     // a member who need not be there
	Devices  []Device // his open sessions here, oldest first
}

// Device is one open session of a user.
type Device struct {
	SessionID   string
	ClientType  string
	DeviceID    string
	ConnectedAt int64 // milliseconds since 1970
	IP          string
	NodeID      string
}

// Roster is who is in a conference and who should be, as of one moment.
type Roster struct {
	Versions Versions
	Online   int // people online or reconnecting
	Expected int // members who are not excused, there or not
	Excused  int // members who are excused, there or not
	Users    []Entry
	More     bool // there are more users than were asked for
}

// Roster returns the numbers of a conference and its first limit users: members in the order of their list, then
// others who are there in the order of their arrival. It joins the snapshot or transaction of ctx.
func (p *Presence) Roster(ctx context.Context, conf string, limit int) (r Roster, err error) {
	err = p.cfg.DB.Read(ctx, func(ctx context.Context, tx *gorm.DB) error {
		v, err := ReadVersions(tx, conf)
		if err != nil {
			return err
		}
		r, err = p.RosterOf(ctx, conf, limit, v)
		return err
	})
	return r, err
}

// RosterOf is Roster for who has read the versions in the snapshot or transaction of ctx.
func (p *Presence) RosterOf(ctx context.Context, conf string, limit int, v Versions) (r Roster, err error) {
	err = p.cfg.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		r, _, err = rosterOf(tx, listing{conf: conf, limit: limit}, v)
		return err
	})
	if err != nil {
		return Roster{}, fmt.Errorf("read roster: %w", err)
	}
	return r, nil
}

// rosterOf reads a part of a roster with the numbers of all of it, and returns where the next part begins.
func rosterOf(tx *gorm.DB, part listing, v Versions) (r Roster, next string, err error) {
	r.Versions = v
	online, err := countOnline(tx, []string{part.conf})
	if err != nil {
		return Roster{}, "", err
	}
	r.Online = online[part.conf]
	if r.Expected, r.Excused, err = countMembers(tx, part.conf); err != nil {
		return Roster{}, "", err
	}
	page, err := part.read(tx)
	if err != nil {
		return Roster{}, "", err
	}
	if r.Users, r.More = page.entries, page.more; r.More {
		next = page.last.cursor()
	}
	return r, next, nil
}

// Present returns everybody online or reconnecting in a conference, in the order of Roster. It is meant for rooms
// that are not large. It joins the snapshot or transaction of ctx.
func (p *Presence) Present(ctx context.Context, conf string) (entries []Entry, err error) {
	err = p.cfg.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		page, err := listing{conf: conf, limit: everybody, presentOnly: true}.read(tx)
		entries = page.entries
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read who is present: %w", err)
	}
	return entries, nil
}

// Page returns the numbers of a conference and its users from cursor on ("" is the start) in the order of Roster, all
// of one moment, and the cursor of the next page, "" when there is none. limit 0 is 50. A cursor that this method did
// not make is a fault Invalid "bad_cursor". It joins the snapshot or transaction of ctx.
func (p *Presence) Page(ctx context.Context, conf, cursor string, limit int) (r Roster, next string, err error) {
	from, err := parseCursor(cursor)
	if err != nil {
		return Roster{}, "", err
	}
	err = p.cfg.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		v, err := ReadVersions(tx, conf)
		if err != nil {
			return err
		}
		r, next, err = rosterOf(tx, listing{conf: conf, from: from, limit: pageSize(limit)}, v)
		return err
	})
	if err != nil {
		return Roster{}, "", fmt.Errorf("read page of roster: %w", err)
	}
	return r, next, nil
}

func countMembers(tx *gorm.DB, conf string) (expected, excused int, err error) {
	var n struct{ All, Excused int }
	err = tx.Model(&memberRow{}).Select("COUNT(*) AS `all`, COALESCE(SUM(CASE WHEN excused THEN 1 ELSE 0 END), 0) AS excused").
		Where("conference_id = ?", conf).Scan(&n).Error
	if err != nil {
		return 0, 0, fmt.Errorf("count members: %w", err)
	}
	return n.All - n.Excused, n.Excused, nil
}

// addDevices fills in the open sessions of entries.
func addDevices(tx *gorm.DB, conf string, entries []Entry) error {
	at := make(map[string]int, len(entries))
	var ids []string
	for i, e := range entries {
		if e.State.here() {
			at[e.UserID] = i
			ids = append(ids, e.UserID)
		}
	}
	for some := range slices.Chunk(ids, chunk) {
		var rows []sessionRow
		err := tx.Where("conference_id = ? AND user_id IN ? AND closed_at IS NULL", conf, some).Order("opened_at, id").Find(&rows).Error
		if err != nil {
			return fmt.Errorf("read devices: %w", err)
		}
		for _, r := range rows {
			e := &entries[at[r.UserID]]
			e.Devices = append(e.Devices, r.device())
		}
	}
	return nil
}
