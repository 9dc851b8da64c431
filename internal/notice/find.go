package notice

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/rawjson"
)

const (
	defaultPage   = 50
	largestPage   = 200
	lookDepth     = 20_000                 // rows that a page of a filter with several fields looks at
	searchDepth   = 50_000                 // rows that a text search looks through
	searchStride  = 2000                   // of them by one statement
	searchTime    = 500 * time.Millisecond // after which a text search ends its page
	recipientsMax = 100                    // recipients that come with an entry
	recipientsOf  = 50                     // entries whose recipients are read by one statement
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

// Find returns a page of the log, newest first, and the cursor of the next page, "" when there is none. Of a filter
// with several fields a page looks at 20,000 rows that match one of them, so it may hold fewer entries than Limit, or
// none, and still have a next one. Q looks through the newest 50,000 rows that match the other field; of several fields,
// that match the one which leaves the fewest; after half a second of it the page ends early too. A cursor that Find did
// not return is a fault of kind Invalid with code bad_cursor.
func (n *Notices) Find(ctx context.Context, f Filter) (items []Entry, next string, err error) {
	if err := f.check(); err != nil {
		return nil, "", err
	}
	err = n.db.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		w, err := n.walk(tx, f)
		if err != nil {
			return err
		}
		items, next, err = n.page(tx, w, f)
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
	var w walk
	for first := true; ; first = false {
		var items []Entry
		var next string
		err := n.db.Read(ctx, func(_ context.Context, tx *gorm.DB) (err error) {
			if first || f.Q == "" { // a search ends where it ended for its first page, whatever came in since
				if w, err = n.walk(tx, f); err != nil {
					return err
				}
			}
			items, next, err = n.page(tx, w, f)
			return err
		})
		if err != nil {
			return fmt.Errorf("export notices: %w", err)
		}
		for _, e := range items {
			if err := do(e); err != nil {
				return err
			}
		}
		if f.Cursor = next; next == "" {
			return nil
		}
	}
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

// page reads the page that begins below the cursor. Where the walk ends early, the next page goes on from there.
func (n *Notices) page(tx *gorm.DB, w walk, f Filter) (items []Entry, next string, err error) {
	limit := pageSize(f.Limit)
	var rows []noticeRow
	if f.Q != "" {
		rows, next, err = w.search(tx, f, limit+1, n.bounds)
	} else {
		rows, err = w.read(tx, f, limit+1)
		next = w.floor
	}
	if err != nil {
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
	where, values := fmt.Sprintf(one+" OR "+one+" OR "+one, "n.message", "n.sender_name", "n.label"), []any{plain, plain, plain}
	if inJSON != plain {
		where, values = where+" OR "+fmt.Sprintf(one, "n.message"), append(values, inJSON)
	}
	return q.Where("("+where+")", values...), nil
}

// like turns a text into a pattern that matches wherever it occurs.
func like(text string) string {
	return "%" + strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(text) + "%"
}

// addRecipients gives each entry its first recipients.
func addRecipients(tx *gorm.DB, entries []Entry) error {
	for start := 0; start < len(entries); start += recipientsOf {
		part := entries[start:min(start+recipientsOf, len(entries))]
		rows, err := firstRecipients(tx, part)
		if err != nil {
			return fmt.Errorf("read recipients: %w", err)
		}
		at := make(map[string]*Entry, len(part))
		for i := range part {
			at[part[i].ID] = &part[i]
		}
		for _, r := range rows {
			e := at[r.NoticeID]
			if len(e.Recipients) == recipientsMax {
				continue
			}
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

// firstRecipients reads those of some entries, all of them if they are not many. Else a LIMIT for each is the way to
// bound them that MySQL 5.7 has; it takes several times as long.
func firstRecipients(tx *gorm.DB, entries []Entry) (rows []deliveryRow, err error) {
	const each = "SELECT * FROM (SELECT notice_id, user_id, ip FROM notice_deliveries WHERE notice_id = ? ORDER BY user_id LIMIT ?) AS r"
	ids := make([]string, len(entries))
	args := make([]any, 0, 2*len(entries))
	for i, e := range entries {
		ids[i] = e.ID
		args = append(args, e.ID, recipientsMax)
	}
	const enough = recipientsOf * recipientsMax / 5
	err = tx.Select("notice_id, user_id, ip").Where("notice_id IN ?", ids).Order("notice_id, user_id").Limit(enough + 1).Find(&rows).Error
	if err != nil || len(rows) <= enough {
		return rows, err
	}
	rows = nil
	err = tx.Raw(strings.TrimSuffix(strings.Repeat(each+" UNION ALL ", len(entries)), " UNION ALL "), args...).Scan(&rows).Error
	return rows, err
}
