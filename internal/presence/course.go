package presence

import (
	"fmt"
	"slices"

	"gorm.io/gorm"
)

// Interval is a time in which a user was in a conference without a break. Times are milliseconds since 1970.
type Interval struct {
	From   int64
	To     int64  // the first moment in which he was no longer there; 0 while he is
	Reason Reason // why it ended: left, lost, kicked, node_lost or ended; "" while he is there
}

// course is what the sessions of one user in one conference tell, taken in the order in which they were opened.
type course struct {
	user, name string // the name is that of his last session that had one
	grace      int64
	intervals  []Interval
	since      int64    // when he last came online, be it out of reconnecting
	last       string   // id of the session that ended the last interval
	open       []Device // his sessions without an end
}

// take adds a session. It prolongs the last interval when it was opened before that one ended, or within the grace
// after a loss, which others saw as reconnecting; else it begins another.
func (c *course) take(s sessionRow) {
	if s.UserName != "" {
		c.name = s.UserName
	}
	if s.ClosedAt == nil {
		c.open = append(c.open, s.device())
	}
	if len(c.intervals) == 0 {
		c.begin(s)
		return
	}
	now := &c.intervals[len(c.intervals)-1]
	switch {
	case now.To == 0:
	case s.OpenedAt <= now.To:
		if c.outlasts(s, *now) {
			now.To, now.Reason, c.last = s.ending()
		}
	case s.OpenedAt < c.due(*now):
		c.since = s.OpenedAt
		now.To, now.Reason, c.last = s.ending()
	default:
		c.begin(s)
	}
}

// outlasts reports whether s is the one that says how an interval ends. Of several that were closed at once it is the
// youngest, but first of all one that its conference ended.
func (c *course) outlasts(s sessionRow, now Interval) bool {
	if s.ClosedAt == nil || *s.ClosedAt != now.To {
		return s.ClosedAt == nil || *s.ClosedAt > now.To
	}
	return s.Reason == Ended || now.Reason != Ended && s.ID > c.last
}

func (c *course) begin(s sessionRow) {
	i := Interval{From: s.OpenedAt}
	i.To, i.Reason, c.last = s.ending()
	c.intervals, c.since = append(c.intervals, i), s.OpenedAt
}

// due is when a user whose interval ended is offline.
func (c *course) due(i Interval) int64 {
	if Polite(i.Reason) {
		return i.To
	}
	return i.To + c.grace
}

// ending returns when and why a session ended, 0 and "" when it has not, and its id.
func (r *sessionRow) ending() (to int64, why Reason, id string) {
	if r.ClosedAt == nil {
		return 0, "", r.ID
	}
	if r.Reason == Ended {
		return *r.ClosedAt, Ended, r.ID
	}
	return *r.ClosedAt, r.Reason.shown(), r.ID
}

// readCourses reads what the sessions of a conference that were opened up to a moment tell, in the order of first
// arrival. see may change a row before it counts.
func readCourses(tx *gorm.DB, conf string, upTo, grace int64, see func(*sessionRow)) ([]*course, error) {
	rows, err := tx.Model(&sessionRow{}).Select("id, user_id, user_name, client_type, device_id, ip, node_id, opened_at, closed_at, reason").
		Where("conference_id = ? AND opened_at <= ?", conf, upTo).Order("opened_at, id").Rows()
	if err != nil {
		return nil, fmt.Errorf("read sessions: %w", err)
	}
	defer rows.Close()
	var all []*course
	known := map[string]*course{}
	for rows.Next() { // row by row: a room that is used for years has very many
		var s sessionRow
		if err := rows.Scan(&s.ID, &s.UserID, &s.UserName, &s.ClientType, &s.DeviceID, &s.IP, &s.NodeID, &s.OpenedAt, &s.ClosedAt, &s.Reason); err != nil {
			return nil, fmt.Errorf("read session: %w", err)
		}
		see(&s)
		c := known[s.UserID]
		if c == nil {
			c = &course{user: s.UserID, grace: grace}
			known[s.UserID] = c
			all = append(all, c)
		}
		c.take(s)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read sessions: %w", err)
	}
	return all, nil
}

// registered returns the names that the users table has for ids.
func registered(tx *gorm.DB, ids []string) (map[string]string, error) {
	out := make(map[string]string, len(ids))
	for some := range slices.Chunk(distinct(ids), chunk) {
		var users []userRow
		if err := tx.Select("id", "name").Where("id IN ?", some).Find(&users).Error; err != nil {
			return nil, fmt.Errorf("read names of users: %w", err)
		}
		for _, u := range users {
			out[u.ID] = u.Name
		}
	}
	return out, nil
}
