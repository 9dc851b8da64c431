package notice

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"

	"rollcall/internal/store"
)

// An inbox has two sources: what is addressed to the user, a row of notice_deliveries each, and what is addressed to
// all, one row of notices for everybody, of which a mark says up to when the user has read it.

// reading is somebody's look at an inbox: what its queries need to know.
type reading struct {
	tx    *gorm.DB
	view  View
	now   int64
	known int64            // when the service first heard of the user
	marks map[string]int64 // category -> up to when what is for all is read; "" is every category
}

// listed is what a source says of a notice.
type listed struct {
	ID         string
	ToAll      bool
	Category   string
	RequireAck bool
	SentAt     int64
	State      string // of the delivery; "" if there is none
	Inbox      int
	AckedAt    *int64
}

// query is a part of a statement with its arguments.
type query struct {
	sql  strings.Builder
	args []any
}

func (q *query) add(sql string, args ...any) {
	q.sql.WriteString(sql)
	q.args = append(q.args, args...)
}

// want says which notices of an inbox are wanted, and in which order.
type want struct {
	category   string // "" is every category
	unread     bool
	unacked    bool // neither acknowledged nor read
	live       bool // not expired
	requireAck bool
	before     string // ID; "" is from the newest
	oldest     bool   // the oldest first
	limit      int    // 0: all
	ids        []string
}

// fits returns what a row of the table t, which has a scope and types of clients, must meet to be in the view.
func (v View) fits(t string) (sql string, args []any) {
	if v.Whole {
		return "", nil
	}
	return fmt.Sprintf(" AND %[1]s.scope IN ('', ?) AND (%[1]s.client_types = '' OR INSTR(%[1]s.client_types, ?) > 0)", t), []any{v.ConferenceID, "," + v.ClientType + ","}
}

// look prepares a reading.
func look(tx *gorm.DB, v View, now int64) (*reading, error) {
	r := &reading{tx: tx, view: v, now: now, known: now, marks: map[string]int64{}}
	var known []int64
	err := tx.Raw("SELECT known_at FROM notice_readers WHERE user_id = ? UNION ALL SELECT updated_at FROM users WHERE id = ?", v.UserID, v.UserID).Scan(&known).Error
	if err != nil {
		return nil, fmt.Errorf("read since when a user is known: %w", err)
	}
	for _, k := range known {
		r.known = min(r.known, k)
	}
	var marks []markRow
	if err := tx.Where("user_id = ?", v.UserID).Find(&marks).Error; err != nil {
		return nil, fmt.Errorf("read marks: %w", err)
	}
	for _, m := range marks {
		r.marks[m.Category] = m.ReadUpto
	}
	return r, nil
}

// read reports whether the user has read l.
func (r *reading) read(l listed) bool {
	return l.Inbox == wasRead || l.ToAll && l.SentAt <= max(r.marks[""], r.marks[l.Category])
}

// targeted writes the source of what is addressed to the user and stands so in his inbox. The hints give MariaDB the
// order that has an index; SQLite finds it by itself when the order of the tables is kept.
func (r *reading) targeted(q *query, inbox int, w want) {
	if r.tx.Name() == store.MySQL {
		q.add(" FROM notice_deliveries AS d FORCE INDEX (notice_deliveries_inbox) STRAIGHT_JOIN notices AS n ON n.id = d.notice_id")
	} else {
		q.add(" FROM notice_deliveries AS d CROSS JOIN notices AS n ON n.id = d.notice_id")
	}
	// To all, a row is only a mark, and what it marks comes from the other source.
	q.add(" WHERE d.user_id = ? AND d.inbox = ? AND n.sent_at > 0 AND n.to_all = 0", r.view.UserID, inbox)
	if w.live {
		q.add(" AND (n.expires_at IS NULL OR n.expires_at > ?)", r.now)
	} else { // what expired stays with whom it had reached
		q.add(" AND (n.expires_at IS NULL OR n.expires_at > ? OR d.state IN ('"+Sent+"', '"+Acked+"', '"+Read+"'))", r.now)
	}
	if w.unacked {
		q.add(" AND d.acked_at IS NULL")
	}
	r.narrow(q, "d.notice_id", w)
}

// toAll writes the source of what is addressed to everybody. Where only what is new is wanted, or to be acknowledged, the rest is not
// even looked at: it is all that there ever was.
func (r *reading) toAll(q *query, w want) {
	index, fresh := "notices_all", (w.unread || w.unacked) && (w.requireAck || r.marks[""] > 0)
	if fresh {
		index = "notices_all_sent"
	}
	q.add(" FROM " + list{table: "notices", index: index}.as(r.tx, "n"))
	q.add(" LEFT JOIN notice_deliveries AS d ON d.notice_id = n.id AND d.user_id = ?", r.view.UserID)
	q.add(" WHERE n.to_all = 1 AND n.sent_at > 0 AND n.stored = 1 AND n.state <> '"+Recalled+"' AND INSTR(COALESCE(n.except_users, ''), ?) = 0", `"`+r.view.UserID+`"`)
	if w.live {
		q.add(" AND (n.expires_at IS NULL OR n.expires_at > ?)", r.now)
	} else {
		q.add(" AND (n.expires_at IS NULL OR n.expires_at >= ?)", r.known)
	}
	if w.unread || w.unacked {
		q.add(" AND (d.inbox IS NULL OR d.inbox <> ?)", wasRead)
		if all := r.marks[""]; all > 0 {
			q.add(" AND n.sent_at > ?", all)
		}
		for category, upto := range r.marks {
			if category != "" {
				q.add(" AND (n.category <> ? OR n.sent_at > ?)", category, upto)
			}
		}
	}
	if w.unacked {
		q.add(" AND d.acked_at IS NULL")
	}
	if fresh && !w.requireAck {
		q.add(" AND n.require_ack IN (0, 1)") // says nothing, but that the index has them apart
	}
	r.narrow(q, "n.id", w)
}

func (r *reading) narrow(q *query, noticeID string, w want) {
	fits, args := r.view.fits("n")
	q.add(fits, args...)
	if w.category != "" {
		q.add(" AND n.category = ?", w.category)
	}
	if w.requireAck {
		q.add(" AND n.require_ack = 1")
	}
	if w.before != "" {
		q.add(" AND "+noticeID+" < ?", w.before)
	}
	if len(w.ids) > 0 {
		q.add(" AND "+noticeID+" IN ?", w.ids)
	}
}

// list returns what is wanted of both sources, in order.
func (r *reading) list(w want) ([]listed, error) {
	order := " DESC"
	if w.oldest {
		order = ""
	}
	var all []listed
	from := func(noticeID string, source func(*query)) error {
		q := &query{}
		q.add("SELECT n.id, n.to_all, n.category, n.require_ack, n.sent_at, d.acked_at, COALESCE(d.state, '') AS state, COALESCE(d.inbox, 0) AS inbox")
		source(q)
		q.add(" ORDER BY " + noticeID + order)
		if w.limit > 0 {
			q.add(" LIMIT ?", w.limit)
		}
		var rows []listed
		err := r.tx.Raw(q.sql.String(), q.args...).Scan(&rows).Error
		all = append(all, rows...)
		return err
	}
	states := []int{unread, wasRead}
	if w.unread || w.unacked {
		states = states[:1]
	}
	for _, inbox := range states {
		if err := from("d.notice_id", func(q *query) { r.targeted(q, inbox, w) }); err != nil {
			return nil, fmt.Errorf("list inbox: %w", err)
		}
	}
	if err := from("n.id", func(q *query) { r.toAll(q, w) }); err != nil {
		return nil, fmt.Errorf("list what is for all: %w", err)
	}
	slices.SortFunc(all, func(a, b listed) int {
		if w.oldest {
			return strings.Compare(a.ID, b.ID)
		}
		return strings.Compare(b.ID, a.ID)
	})
	if w.limit > 0 {
		all = all[:min(w.limit, len(all))]
	}
	return all, nil
}

// in runs fn with a look at the inbox, in one snapshot.
func (n *Notices) in(ctx context.Context, v View, fn func(*reading) error) error {
	return n.db.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		r, err := look(tx, v, n.now())
		if err != nil {
			return err
		}
		return fn(r)
	})
}

// inParts calls do with at most rowBatch of the ids at a time.
func inParts(ids []string, do func(part []string) error) error {
	for part := range slices.Chunk(ids, rowBatch) {
		if err := do(part); err != nil {
			return err
		}
	}
	return nil
}
