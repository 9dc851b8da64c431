package notice

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"rollcall/internal/fault"
	"rollcall/internal/id"
	"rollcall/internal/store"
)

// States of a notice in the log.
const (
	Sent       = "sent"
	Suppressed = "suppressed" // held back by debounce
	Summarised = "summarised" // the conference was too large to be told
)

// batchBytes bounds the messages of one INSERT, well below the packet sizes that servers accept.
const batchBytes = 1 << 20

// Entry is one row of the log: something said, to whom, and what became of it.
type Entry struct {
	ID           string // sorts by time; given by Append if empty
	ConferenceID string
	SenderID     string
	SenderName   string
	Actor        string // name of the API key, "socket" or "system"
	Event        string
	Category     string
	Label        string
	SendType     string
	Message      json.RawMessage // what was emitted; nil if nothing, or if the row holds no JSON
	Audience     int             // users addressed
	Sent         int
	Acked        int
	Read         int
	FromIP       string
	Online       int // users online then
	State        string
	CreatedAt    int64 // milliseconds since 1970; given by Append if 0

	Recipients []string          // at most 100, in the order of their ids; only read
	ToIP       map[string]string // their addresses by id, where known; only read
	Deliveries []Delivery        // at most one per user; only written, read them by Notices.Deliveries
}

// Delivery is what became of a notice for one user.
type Delivery struct {
	UserID     string
	State      string // queued, sent, acked, read, expired, unreached or recalled
	At         int64  // milliseconds since 1970
	SessionID  string
	ClientType string
	DeviceID   string
	IP         string
}

// Append writes entries with their deliveries, in the transaction that ctx carries or in one of its own. An entry
// whose ID is in the log already is left as it is there, so that a repeated call does no harm.
func (n *Notices) Append(ctx context.Context, entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	named := make([]Entry, len(entries)) // outside the transaction, so that each attempt has the same ids
	for i, e := range entries {
		named[i] = name(e)
	}
	err := n.db.Write(ctx, func(_ context.Context, tx *gorm.DB) error { return insert(tx, named) })
	if err != nil {
		return fmt.Errorf("append to the notice log: %w", err)
	}
	return nil
}

// name gives an entry its ID and time where it has none.
func name(e Entry) Entry {
	if e.ID == "" {
		e.ID = id.New()
	}
	if e.CreatedAt == 0 {
		e.CreatedAt = time.Now().UnixMilli()
	}
	return e
}

func insert(tx *gorm.DB, entries []Entry) error {
	keep := tx.Clauses(clause.OnConflict{DoNothing: true}).Session(&gorm.Session{})
	var deliveries []deliveryRow
	for len(entries) > 0 {
		size := fitting(entries)
		rows := make([]noticeRow, size)
		for i, e := range entries[:size] {
			rows[i] = rowOf(e)
			for _, d := range e.Deliveries {
				deliveries = append(deliveries, deliveryRow{e.ID, d.UserID, d.State, d.At, d.SessionID, d.ClientType, d.DeviceID, d.IP})
			}
		}
		if err := keep.Create(&rows).Error; err != nil {
			return err
		}
		entries = entries[size:]
	}
	if len(deliveries) == 0 {
		return nil
	}
	return keep.CreateInBatches(deliveries, rowBatch).Error
}

// fitting returns how many of the entries, one at least, fit into one statement.
func fitting(entries []Entry) int {
	size := 0
	for i, e := range entries {
		size += len(e.Message)
		if i > 0 && size > batchBytes || i == rowBatch {
			return i
		}
	}
	return len(entries)
}

// Get returns the entry with the ID, or a fault of kind NotFound.
func (n *Notices) Get(ctx context.Context, noticeID string) (Entry, error) {
	if !wellFormed(noticeID) {
		return Entry{}, noSuchNotice()
	}
	var entries []Entry
	err := n.db.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		var row noticeRow
		if err := tx.Where("id = ?", noticeID).Take(&row).Error; err != nil {
			return err
		}
		entries = []Entry{row.entry()}
		return addRecipients(tx, entries)
	})
	if store.NotFound(err) {
		return Entry{}, noSuchNotice()
	}
	if err != nil {
		return Entry{}, fmt.Errorf("get notice: %w", err)
	}
	return entries[0], nil
}

// Deliveries returns what became of a notice per user, in the order of user ids: at most limit (1 to 200, 0 is 50) of
// them after cursor, and the cursor of the next page, "" when there is none. An unknown notice is a fault of
// kind NotFound, a cursor that this method did not return one of kind Invalid with code bad_cursor.
func (n *Notices) Deliveries(ctx context.Context, noticeID, cursor string, limit int) (items []Delivery, next string, err error) {
	after, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || cursor != "" && id.Check(string(after)) != nil {
		return nil, "", badCursor()
	}
	if !wellFormed(noticeID) {
		return nil, "", noSuchNotice()
	}
	limit = pageSize(limit)
	var rows []deliveryRow
	var known int64
	err = n.db.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		if err := tx.Model(&noticeRow{}).Where("id = ?", noticeID).Count(&known).Error; err != nil {
			return err
		}
		return tx.Where("notice_id = ? AND user_id > ?", noticeID, string(after)).Order("user_id").Limit(limit + 1).Find(&rows).Error
	})
	if err != nil {
		return nil, "", fmt.Errorf("read deliveries: %w", err)
	}
	if known == 0 {
		return nil, "", noSuchNotice()
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next = base64.RawURLEncoding.EncodeToString([]byte(rows[limit-1].UserID))
	}
	items = make([]Delivery, len(rows))
	for i, r := range rows {
		items[i] = r.delivery()
	}
	return items, next, nil
}

// wellFormed reports whether s could be the ID of a notice.
func wellFormed(s string) bool {
	_, err := ulid.ParseStrict(s)
	return err == nil
}

func noSuchNotice() error { return fault.New(fault.NotFound, "not_found", "there is no such notice") }

func badCursor() error {
	return fault.New(fault.Invalid, "bad_cursor", "the cursor is not one that an earlier page returned")
}
