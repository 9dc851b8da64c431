package notice

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"gorm.io/gorm"

	"rollcall/internal/id"
	"rollcall/internal/store"
)

// list is an index that holds the IDs of all that one field of a filter matches, in their order.
type list struct {
	table, index, id string
	columns          []string
	values           []any
}

// walk is the way through the log to the rows of a filter: along the first list, while each of the others is asked
// whether it holds the ID too, and down to floor, "" when to its end. Only indexes are read, so an ID that is passed
// over costs a microsecond and not the reading of its row.
type walk struct {
	lists []list
	floor string
}

// bounds are how far a page goes.
type bounds struct {
	look, search, stride int
	time                 time.Duration
}

// lists returns those of the fields that restrict.
func (f Filter) lists() (out []list) {
	if f.RecipientID != "" {
		out = append(out, list{"notice_deliveries", "notice_deliveries_user", "notice_id", []string{"user_id"}, []any{f.RecipientID}})
	}
	if f.ConferenceID != "" && f.Event != "" {
		out = append(out, conversation(f.ConferenceID, f.Event))
		f.ConferenceID, f.Event = "", ""
	}
	for _, c := range [][2]string{
		{"conference_id", f.ConferenceID}, {"sender_id", f.SenderID}, {"label", f.Label}, {"category", f.Category},
		{"event", f.Event}, {"state", f.State}, {"send_type", f.SendType},
	} {
		if c[1] != "" {
			out = append(out, list{"notices", "notices_" + strings.TrimSuffix(c[0], "_id"), "id", []string{c[0]}, []any{c[1]}})
		}
	}
	return out
}

// conversation lists one kind of event in one conference, "" being the lobby.
func conversation(conferenceID, event string) list {
	return list{"notices", "notices_chat", "id", []string{"conference_id", "event"}, []any{conferenceID, event}}
}

// walk finds the way. A text search ends some rows from the newest one, and several lists some rows from the cursor:
// along the list whose row there lies furthest back, for it leaves the fewest.
func (n *Notices) walk(tx *gorm.DB, f Filter) (walk, error) {
	w := walk{lists: f.lists()}
	if f.Q == "" && len(w.lists) < 2 {
		return w, nil
	}
	depth := n.bounds.look
	if f.Q != "" {
		depth, f.Cursor = n.bounds.search, ""
	}
	for i := range max(1, len(w.lists)) {
		one := walk{lists: w.lists[min(i, len(w.lists)):min(i+1, len(w.lists))]}
		floor, err := one.nth(tx, f, depth)
		if err != nil {
			return walk{}, err
		}
		if i == 0 {
			w.floor = floor
		} else if floor < w.floor {
			w.floor = floor
			w.lists[0], w.lists[i] = w.lists[i], w.lists[0]
		}
		if floor == "" {
			break
		}
	}
	return w, nil
}

// nth returns the nth ID of the first list below the cursor, "" when the list ends before.
func (w walk) nth(tx *gorm.DB, f Filter, n int) (string, error) {
	q, noticeID := w.from(tx)
	var ids []string
	if err := f.between(q, noticeID).Order(noticeID+" DESC").Offset(n-1).Limit(1).Pluck(noticeID, &ids).Error; err != nil || len(ids) == 0 {
		return "", err
	}
	return ids[0], nil
}

// read returns the first rows below the cursor.
func (w walk) read(tx *gorm.DB, f Filter, limit int) (rows []noticeRow, err error) {
	q, noticeID := w.rows(tx)
	q = f.between(q, noticeID)
	if w.floor != "" {
		q = q.Where(noticeID+" >= ?", w.floor)
	}
	if f.Q != "" {
		if q, err = contains(q, f.Q); err != nil {
			return nil, err
		}
	}
	err = q.Select("n.*").Order(noticeID + " DESC").Limit(limit).Find(&rows).Error
	return rows, err
}

// search returns the first rows below the cursor in which the text occurs. Rows that lie far apart are read from the
// disk one by one, and long ones are slow to compare, so it goes in strides, and no further than to the one in which
// the time is up: next says where that is.
func (w walk) search(tx *gorm.DB, f Filter, limit int, b bounds) (rows []noticeRow, next string, err error) {
	until := time.Now().Add(b.time)
	for {
		part := w
		if part.floor, err = w.nth(tx, f, b.stride); err != nil {
			return nil, "", err
		}
		part.floor = max(part.floor, w.floor)
		found, err := part.read(tx, f, limit-len(rows))
		if err != nil {
			return nil, "", err
		}
		rows = append(rows, found...)
		if len(rows) == limit || part.floor == w.floor {
			return rows, "", nil
		}
		if f.Cursor = part.floor; time.Now().After(until) {
			return rows, f.Cursor, nil
		}
	}
}

// from begins a query at the first list, or at the rows themselves without any, and returns its column of IDs. Left
// alone, MariaDB begins at the newest row of an index and walks to where the page begins, which takes seconds deep in
// a large log. Told which index to use, it begins at the page.
func (w walk) from(tx *gorm.DB) (q *gorm.DB, noticeID string) {
	if len(w.lists) == 0 {
		return tx.Table("notices AS n"), "n.id"
	}
	l := w.lists[0]
	q = tx.Table(l.as(tx, "l0"))
	for i, c := range l.columns {
		q = q.Where("l0."+c+" = ?", l.values[i])
	}
	return q, "l0." + l.id
}

// rows are those of all lists, as n. The order of the tables is as it is written: MariaDB and SQLite would both
// rather begin with what they believe to be short.
func (w walk) rows(tx *gorm.DB) (q *gorm.DB, noticeID string) {
	q, noticeID = w.from(tx)
	if len(w.lists) == 0 {
		return q, noticeID
	}
	join := "CROSS JOIN "
	if tx.Name() == store.MySQL {
		join = "STRAIGHT_JOIN "
	}
	for i, l := range w.lists[1:] {
		alias := fmt.Sprint("l", i+1)
		on := fmt.Sprintf("%s.%s = %s", alias, l.id, noticeID)
		for _, c := range l.columns {
			on += fmt.Sprintf(" AND %s.%s = ?", alias, c)
		}
		q = q.Joins(join+l.as(tx, alias)+" ON "+on, l.values...)
	}
	return q.Joins(join + "notices AS n ON n.id = " + noticeID), noticeID
}

// as names the table under an alias, to be read by its index and no other.
func (l list) as(tx *gorm.DB, alias string) string {
	if tx.Name() == store.MySQL {
		return l.table + " AS " + alias + " FORCE INDEX (" + l.index + ")"
	}
	return l.table + " AS " + alias + " INDEXED BY " + l.index + "_idx"
}

// between keeps what was written in the time of the filter, and before the cursor.
func (f Filter) between(q *gorm.DB, noticeID string) *gorm.DB {
	if f.From != 0 {
		q = q.Where(noticeID+" >= ?", idFloor(f.From))
	}
	if f.To != 0 {
		q = q.Where(noticeID+" < ?", idFloor(min(f.To, math.MaxInt64-1)+1))
	}
	if f.Cursor != "" {
		q = q.Where(noticeID+" < ?", f.Cursor)
	}
	return q
}

// idFloor keeps a time within what an ID can say.
func idFloor(ms int64) string {
	return id.Floor(time.UnixMilli(min(max(ms, 0), int64(ulid.MaxTime()))))
}
