package presence

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"

	"gorm.io/gorm"

	"rollcall/internal/fault"
)

// everybody is the limit of a listing that has none.
const everybody = math.MaxInt32

// position is a place in a list: after this user. The zero value is the start.
type position struct {
	Guest bool   `json:"g,omitempty"` // past the members, among those who are just there
	Key   int64  `json:"k,omitempty"` // sort of a member, arrival of a guest
	User  string `json:"u"`
}

func (p position) cursor() string {
	b, _ := json.Marshal(p) // a struct of plain fields cannot fail
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseCursor(cursor string) (p position, err error) {
	if cursor == "" {
		return p, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil || p.User == "" {
		return position{}, &fault.Error{Kind: fault.Invalid, Code: "bad_cursor", Message: "the cursor is not one that was given out", Err: err}
	}
	return p, nil
}

// pageSize is the number of items of a page, 50 when nothing sensible is asked for.
func pageSize(limit int) int {
	if limit <= 0 {
		return 50
	}
	return limit
}

// listing is a question for a part of a roster.
type listing struct {
	conf        string
	from        position
	limit       int
	presentOnly bool // without members who are not there
}

// listed is the answer to a listing.
type listed struct {
	entries []Entry
	last    position // of the last entry
	more    bool
}

// entryRow is a member or a guest, joined with what is said of him.
type entryRow struct {
	UserID     string
	Role       string
	Attrs      *string
	Excused    flag
	Place      int64 // sort of a member, arrival of a guest
	State      State
	Since      int64
	ShownName  string // of the presence row
	MemberName string
	UsersName  string
}

// read finds members first, and fills up with guests.
func (l listing) read(tx *gorm.DB) (out listed, err error) {
	var rows []entryRow
	if !l.from.Guest {
		if rows, err = l.members(tx, l.limit+1); err != nil {
			return listed{}, err
		}
	}
	members := len(rows)
	if members <= l.limit {
		guests, err := l.guests(tx, l.limit+1-members)
		if err != nil {
			return listed{}, err
		}
		rows = append(rows, guests...)
	}
	if out.more = len(rows) > l.limit; out.more {
		rows = rows[:l.limit]
	}
	out.entries = make([]Entry, len(rows))
	for i, r := range rows {
		out.entries[i] = r.entry(i < members)
		out.last = position{Guest: i >= members, Key: r.Place, User: r.UserID}
	}
	return out, addDevices(tx, l.conf, out.entries)
}

func (l listing) members(tx *gorm.DB, limit int) (rows []entryRow, err error) {
	q := tx.Table("conference_members m").
		Select(`m.user_id, m.role, m.attrs, m.excused, m.sort AS place, COALESCE(p.state, '') AS state, COALESCE(p.since, 0) AS since,
			COALESCE(p.user_name, '') AS shown_name, m.name AS member_name, COALESCE(u.name, '') AS users_name`).
		Joins("LEFT JOIN presence p ON p.conference_id = m.conference_id AND p.user_id = m.user_id").
		Joins("LEFT JOIN users u ON u.id = m.user_id").
		Where("m.conference_id = ?", l.conf)
	if l.from.User != "" {
		q = q.Where("(m.sort > ? OR m.sort = ? AND m.user_id > ?)", l.from.Key, l.from.Key, l.from.User)
	}
	if l.presentOnly {
		q = q.Where("p.state IN ?", present)
	}
	if err = q.Order("m.sort, m.user_id").Limit(limit).Scan(&rows).Error; err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	return rows, nil
}

func (l listing) guests(tx *gorm.DB, limit int) (rows []entryRow, err error) {
	q := tx.Table("presence p").
		Select("p.user_id, p.arrived_at AS place, p.state, p.since, p.user_name AS shown_name, p.token_role AS role").
		Joins("LEFT JOIN conference_members m ON m.conference_id = p.conference_id AND m.user_id = p.user_id").
		Where("p.conference_id = ? AND p.state IN ? AND m.user_id IS NULL", l.conf, present)
	if l.from.Guest {
		q = q.Where("(p.arrived_at > ? OR p.arrived_at = ? AND p.user_id > ?)", l.from.Key, l.from.Key, l.from.User)
	}
	if err = q.Order("p.arrived_at, p.user_id").Limit(limit).Scan(&rows).Error; err != nil {
		return nil, fmt.Errorf("list guests: %w", err)
	}
	return rows, nil
}

// role is that of a member, or what the token of a guest says of him.
func (r entryRow) role(member bool) string {
	if !member && r.Role == "" {
		return ""
	}
	return role(r.Role)
}

func (r entryRow) entry(member bool) Entry {
	e := Entry{
		UserID: r.UserID, Role: r.role(member), Attrs: attributes(r.Attrs), State: r.State, Since: r.Since, Member: member, Excused: bool(r.Excused),
		UserName: r.ShownName,
	}
	if r.State.here() {
		return e
	}
	e.UserName = cmp.Or(r.UsersName, r.MemberName, r.ShownName)
	e.State = Absent
	if r.Excused {
		e.State = Excused
	}
	return e
}
