package notice

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"gorm.io/gorm"

	"rollcall/internal/fault"
)

// fullRows is how many whole rows are read at once when the size of a page is bounded.
const fullRows = 20

// View is what a socket may see of its user's inbox: what is for its conference and its type of client. Whole, for
// callers that are no socket, is everything.
type View struct {
	UserID, ConferenceID, ClientType string
	Whole                            bool
}

// Unread counts what a user has not read. ByCategory is never nil and has only categories with something unread.
type Unread struct {
	Total      int            `json:"total"`
	ByCategory map[string]int `json:"byCategory"`
}

// Item is a notice in the inbox of a user. What was read counts as acknowledged. One that Waits is addressed to him by
// name and has not reached him yet.
type Item struct {
	Entry
	Read, Acked, Waits bool
}

// InboxQuery says which page of an inbox is wanted.
type InboxQuery struct {
	Cursor     string // where the page before ended; "" for the first page
	Limit      int    // 1 to 200; 0 is 50
	Category   string // "" is every category
	UnreadOnly bool   // only what Unread counts
	MaxBytes   int    // of messages; 0: no bound. A page has one item at least
}

// Unread counts what the user has not read, of all that the view shows. What has expired is not counted.
func (n *Notices) Unread(ctx context.Context, v View) (Unread, error) {
	var u Unread
	err := n.in(ctx, v, func(r *reading) error {
		u = Unread{ByCategory: map[string]int{}}
		for _, source := range []func(*query){
			func(q *query) { r.targeted(q, unread, want{unread: true, live: true}) },
			func(q *query) { r.toAll(q, want{unread: true, live: true}) },
		} {
			q := &query{}
			q.add("SELECT n.category, COUNT(*) AS count")
			source(q)
			q.add(" GROUP BY n.category")
			var counts []struct {
				Category string
				Count    int
			}
			if err := r.tx.Raw(q.sql.String(), q.args...).Scan(&counts).Error; err != nil {
				return err
			}
			for _, c := range counts {
				u.ByCategory[c.Category] += c.Count
				u.Total += c.Count
			}
		}
		return nil
	})
	if err != nil {
		return Unread{}, fmt.Errorf("count what is unread: %w", err)
	}
	return u, nil
}

// Inbox returns a page of what was said to the user, newest first, without recipients, and the cursor of the next
// page, "" when there is none. What expired is still there if it had reached him, or, being for all, if he was known
// by then. A cursor that Inbox did not return is a fault of kind Invalid with code bad_cursor.
func (n *Notices) Inbox(ctx context.Context, v View, q InboxQuery) (items []Item, next string, err error) {
	if q.Cursor != "" && !wellFormed(q.Cursor) {
		return nil, "", badCursor()
	}
	if err := checkCategory(q.Category); err != nil {
		return nil, "", err
	}
	limit := pageSize(q.Limit)
	err = n.in(ctx, v, func(r *reading) error {
		found, err := r.list(want{category: q.Category, unread: q.UnreadOnly, live: q.UnreadOnly, before: q.Cursor, limit: limit + 1})
		if err != nil {
			return err
		}
		if items, err = r.items(found[:min(limit, len(found))], q.MaxBytes); err != nil {
			return err
		}
		if next = ""; len(items) < len(found) {
			next = found[len(items)-1].ID
		}
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("read inbox: %w", err)
	}
	return items, next, nil
}

// items reads what was listed, as much of it as maxBytes allows, but one at least.
func (r *reading) items(found []listed, maxBytes int) ([]Item, error) {
	items := make([]Item, 0, len(found))
	size, step := 0, rowBatch
	if maxBytes > 0 {
		step = fullRows
	}
	for len(found) > 0 {
		part := found[:min(step, len(found))]
		found = found[len(part):]
		ids := make([]string, len(part))
		for i, l := range part {
			ids[i] = l.ID
		}
		var rows []noticeRow
		if err := r.tx.Where("id IN ?", ids).Find(&rows).Error; err != nil {
			return nil, fmt.Errorf("read notices: %w", err)
		}
		at := make(map[string]noticeRow, len(rows))
		for _, row := range rows {
			at[row.ID] = row
		}
		for _, l := range part {
			row := at[l.ID] // in one snapshot it is still there
			size += len(row.Message) + len(row.Envelope)
			if maxBytes > 0 && size > maxBytes && len(items) > 0 {
				return items, nil
			}
			read := r.read(l)
			items = append(items, Item{Entry: row.entry(), Read: read, Acked: read || l.AckedAt != nil || l.State == Acked, Waits: !l.ToAll && !read && (l.State == Queued || l.State == Unreached)})
		}
	}
	return items, nil
}

// Unacked returns what the user must acknowledge and has neither acknowledged nor read, oldest first, at most limit of
// it. What has expired is left out.
func (n *Notices) Unacked(ctx context.Context, v View, limit int) ([]Item, error) {
	var items []Item
	err := n.in(ctx, v, func(r *reading) error {
		found, err := r.list(want{unacked: true, live: true, requireAck: true, oldest: true, limit: max(limit, 1)})
		if err != nil {
			return err
		}
		items, err = r.items(found, 0)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find what is not acknowledged: %w", err)
	}
	return items, nil
}

// Reaches returns those of the ids that are in the inbox of the user and in the view, in the order given.
func (n *Notices) Reaches(ctx context.Context, v View, ids []string) ([]string, error) {
	var reached []string
	err := n.in(ctx, v, func(r *reading) error {
		reached = nil
		there := map[string]bool{}
		err := inParts(only(ids, wellFormed), func(part []string) error {
			found, err := r.list(want{ids: part})
			for _, l := range found {
				there[l.ID] = true
			}
			return err
		})
		reached = only(ids, func(noticeID string) bool { return there[noticeID] })
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for notices in an inbox: %w", err)
	}
	return reached, nil
}

// only returns those of the ids that pass.
func only(ids []string, pass func(string) bool) []string {
	var passed []string
	for _, s := range ids {
		if pass(s) {
			passed = append(passed, s)
		}
	}
	return passed
}

// checkCategory refuses what no database compares with.
func checkCategory(category string) error {
	if !utf8.ValidString(category) || strings.ContainsRune(category, 0) {
		return fault.Invalidf("a category must be valid UTF-8 without NUL")
	}
	return nil
}

// lockNotices locks the notices with these ids, in their order, against others who settle, recall or expire them, and
// returns what is there, without messages. Deliveries of a notice are changed only by who holds it.
func lockNotices(tx *gorm.DB, ids []string) ([]noticeRow, error) {
	var all []noticeRow
	err := inParts(ids, func(part []string) error {
		var rows []noticeRow
		err := locking(tx).Omit("message", "envelope").Where("id IN ?", part).Order("id").Find(&rows).Error
		all = append(all, rows...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lock notices: %w", err)
	}
	return all, nil
}
