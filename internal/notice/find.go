package notice

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"
	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/id"
	"rollcall/internal/rawjson"
	"rollcall/internal/store"
)

const (
	defaultPage   = 50
	largestPage   = 200
	searchDepth   = 50_000 // newest rows that a text search looks through
	recipientsMax = 100    // recipients that come with an entry
	recipientsOf  = 50     // entries whose recipients are read by one statement
)

// Filter says which entries are wanted. Blank fields do not restrict.
type Filter struct {
	ConferenceID, SenderID, RecipientID     string
	Event, Category, State, Label, SendType string
	From, To                                int64  // first and last millisecond since 1970
	Q                                       string // part of message, sender's name or label, in any case (SQLite: of ASCII letters)
	Cursor                                  string // where the page before ended; "" for the first page
	Limit                                   int    // 1 to 200; 0 is 50
}

// Find returns a page of the log, newest first, and the cursor of the next page, "" when there is none. Q looks
// through the newest 50,000 rows that match the other fields. A cursor that Find did not return is a fault of kind
// Invalid with code bad_cursor.
func (n *Notices) Find(ctx context.Context, f Filter) (items []Entry, next string, err error) {
	if err := f.check(); err != nil {
		return nil, "", err
	}
	err = n.db.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		floor, err := n.floor(tx, f)
		if err != nil {
			return err
		}
		items, next, err = page(tx, f, floor)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("find notices: %w", err)
	}
	return items, next, nil
}

// Each calls do with every entry that Find would return on all its pages, newest first. It reads page by page, each
// in a snapshot of its own, so memory stays flat and no transaction stays open while do works; Limit does not
// matter. The first error of do ends it and is returned.
func (n *Notices) Each(ctx context.Context, f Filter, do func(Entry) error) error {
	if err := f.check(); err != nil {
		return err
	}
	f.Limit = largestPage
	var floor string
	err := n.db.Read(ctx, func(_ context.Context, tx *gorm.DB) (err error) {
		floor, err = n.floor(tx, f)
		return err
	})
	for err == nil {
		var items []Entry
		err = n.db.Read(ctx, func(_ context.Context, tx *gorm.DB) (err error) {
			items, f.Cursor, err = page(tx, f, floor)
			return err
		})
		if err != nil {
			break
		}
		for _, e := range items {
			if err := do(e); err != nil {
				return err
			}
		}
		if f.Cursor == "" {
			return nil
		}
	}
	return fmt.Errorf("export notices: %w", err)
}

func (f Filter) check() error {
	if f.Cursor != "" && !wellFormed(f.Cursor) {
		return badCursor()
	}
	for _, s := range []string{f.ConferenceID, f.SenderID, f.RecipientID, f.Event, f.Category, f.State, f.Label, f.SendType, f.Q} {
		if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
			return fault.Invalidf("a filter must be valid UTF-8 without NUL")
		}
	}
	return nil
}

// floor returns the ID of the oldest row that a text search looks at, "" when it looks at all.
func (n *Notices) floor(tx *gorm.DB, f Filter) (string, error) {
	if f.Q == "" {
		return "", nil
	}
	var ids []string
	q, noticeID := f.rows(tx)
	err := q.Offset(n.depth-1).Limit(1).Pluck(noticeID, &ids).Error
	if err != nil || len(ids) == 0 {
		return "", err
	}
	return ids[0], nil
}

// restrictions are the columns that a filter restricts, with their values, the ones that leave fewest rows first.
func (f Filter) restrictions() (columns, values []string) {
	for _, c := range [][2]string{
		{"conference_id", f.ConferenceID}, {"sender_id", f.SenderID}, {"label", f.Label}, {"category", f.Category},
		{"event", f.Event}, {"state", f.State}, {"send_type", f.SendType},
	} {
		if c[1] != "" {
			columns, values = append(columns, c[0]), append(values, c[1])
		}
	}
	return columns, values
}

// rows are those that match everything but Q and Cursor, newest first, and the column that holds their ID. Left alone,
// MariaDB begins at the newest row of an index and walks to where the page begins, which takes seconds deep in a large
// log. Told which index to use, it begins at the page. SQLite does so by itself.
func (f Filter) rows(tx *gorm.DB) (q *gorm.DB, noticeID string) {
	columns, values := f.restrictions()
	mysql := tx.Name() == store.MySQL
	switch {
	case f.RecipientID != "":
		noticeID = "d.notice_id"
		ordered := "CROSS JOIN" // in SQLite this keeps the order of the tables
		from := "notice_deliveries AS d"
		if mysql {
			ordered, from = "STRAIGHT_JOIN", from+" FORCE INDEX (notice_deliveries_user)"
		}
		q = tx.Table(from).Joins(ordered+" notices AS n ON n.id = d.notice_id").Where("d.user_id = ?", f.RecipientID)
	case mysql && len(columns) > 0:
		noticeID = "n.id"
		q = tx.Table("notices AS n FORCE INDEX (notices_" + strings.TrimSuffix(columns[0], "_id") + ")")
	default:
		noticeID = "n.id"
		q = tx.Table("notices AS n")
	}
	for i, c := range columns {
		q = q.Where("n."+c+" = ?", values[i])
	}
	if f.From != 0 {
		q = q.Where(noticeID+" >= ?", idFloor(f.From))
	}
	if f.To != 0 {
		q = q.Where(noticeID+" < ?", idFloor(min(f.To, math.MaxInt64-1)+1))
	}
	return q.Order(noticeID + " DESC"), noticeID
}

// idFloor keeps a time within what an ID can say.
func idFloor(ms int64) string {
	return id.Floor(time.UnixMilli(min(max(ms, 0), int64(ulid.MaxTime()))))
}

func page(tx *gorm.DB, f Filter, floor string) (items []Entry, next string, err error) {
	limit := pageSize(f.Limit)
	q, noticeID := f.rows(tx)
	if f.Cursor != "" {
		q = q.Where(noticeID+" < ?", f.Cursor)
	}
	if floor != "" {
		q = q.Where(noticeID+" >= ?", floor)
	}
	if f.Q != "" {
		if q, err = contains(q, f.Q); err != nil {
			return nil, "", err
		}
	}
	var rows []noticeRow
	if err := q.Select("n.*").Limit(limit + 1).Find(&rows).Error; err != nil {
		return nil, "", err
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next = rows[limit-1].ID
	}
	items = make([]Entry, len(rows))
	for i, r := range rows {
		items[i] = r.entry()
	}
	return items, next, addRecipients(tx, items)
}

func pageSize(limit int) int {
	if limit <= 0 {
		return defaultPage
	}
	return min(limit, largestPage)
}

// contains keeps the rows in which the text occurs. In a message, which is JSON, it is looked for as it is and as
// JSON writes it.
func contains(q *gorm.DB, text string) (*gorm.DB, error) {
	quoted, err := rawjson.Encode(text)
	if err != nil {
		return nil, fmt.Errorf("encode search: %w", err)
	}
	plain, inJSON := like(text), like(string(quoted[1:len(quoted)-1]))
	const one = "LOWER(%s) LIKE LOWER(?) ESCAPE '!'"
	where := fmt.Sprintf("("+one+" OR "+one+" OR "+one+" OR "+one+")", "n.message", "n.message", "n.sender_name", "n.label")
	return q.Where(where, plain, inJSON, plain, plain), nil
}

// like turns a text into a pattern that matches wherever it occurs.
func like(text string) string {
	return "%" + strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(text) + "%"
}

// addRecipients gives each entry its first recipients. A LIMIT for each is the way to bound them that MySQL 5.7 has.
func addRecipients(tx *gorm.DB, entries []Entry) error {
	const first = "SELECT * FROM (SELECT notice_id, user_id, ip FROM notice_deliveries WHERE notice_id = ? ORDER BY user_id LIMIT ?) AS r"
	for start := 0; start < len(entries); start += recipientsOf {
		part := entries[start:min(start+recipientsOf, len(entries))]
		at := make(map[string]*Entry, len(part))
		args := make([]any, 0, 2*len(part))
		for i := range part {
			at[part[i].ID] = &part[i]
			args = append(args, part[i].ID, recipientsMax)
		}
		var rows []deliveryRow
		if err := tx.Raw(strings.TrimSuffix(strings.Repeat(first+" UNION ALL ", len(part)), " UNION ALL "), args...).Scan(&rows).Error; err != nil {
			return fmt.Errorf("read recipients: %w", err)
		}
		for _, r := range rows {
			e := at[r.NoticeID]
			e.Recipients = append(e.Recipients, r.UserID)
			if r.IP == "" {
				continue
			}
			if e.ToIP == nil {
				e.ToIP = map[string]string{}
			}
			e.ToIP[r.UserID] = r.IP
		}
	}
	return nil
}
