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

// States of a delivery; a notice can be Queued (scheduled), Expired or Recalled too, and a delivery Sent.
const (
	Queued    = "queued"    // waits for the user
	Acked     = "acked"     // a socket of the user has acknowledged it
	Read      = "read"      // the user has read it
	Expired   = "expired"   // it was not sent before it expired
	Unreached = "unreached" // the backend was told that the user was not reached in time
	Recalled  = "recalled"  // taken back
)

// batchBytes bounds the messages of one INSERT, well below the packet sizes that servers accept.
const batchBytes = 1 << 20

// insertBatch bounds the rows of one INSERT. SQLite binds parameters in a time that grows with the square of their
// number: 100,000 deliveries took 3.7 s in INSERTs of 1,000 and 0.8 s in those of 50.
func insertBatch(tx *gorm.DB) int {
	if tx.Name() == store.SQLite {
		return 40
	}
	return rowBatch
}

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

	ToAll       bool            // to everybody, also who comes later; Deliveries then holds only marks
	Except      []string        // users whom a notice to all is not for
	Scope       string          // only for sockets in this conference; "" is any
	ClientTypes []string        // only for sockets of these types; none is any
	Envelope    json.RawMessage // the notice without data, when Message is not the notice itself
	Stored      bool            // kept in the inboxes of its users
	RequireAck  bool
	SentAt      int64 // 0 while it is scheduled, and for what is neither stored nor to be acknowledged
	ExpiresAt   int64 // 0: never
	SendAt      int64 // when it is to be sent, then SentAt is 0 and State Queued; only written, by Post
	UnreachedAt int64 // when the backend wants to hear of whom it did not reach; only written, by Post

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
	AckedAt    int64 // 0: not acknowledged
	ReadAt     int64 // 0: not read
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
	keep := keeping(tx)
	var deliveries []deliveryRow
	for len(entries) > 0 {
		size := fitting(entries, insertBatch(tx))
		rows := make([]noticeRow, size)
		for i, e := range entries[:size] {
			rows[i] = rowOf(e)
			for _, d := range e.Deliveries {
				deliveries = append(deliveries, deliveryOf(e, d))
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
	return keep.CreateInBatches(deliveries, insertBatch(tx)).Error
}

// keeping returns a handle whose inserts leave rows that are there already as they are.
func keeping(tx *gorm.DB) *gorm.DB {
	return tx.Clauses(clause.OnConflict{DoNothing: true}).Session(&gorm.Session{})
}

// fitting returns how many of the entries, one at least and not more than most, fit into one statement.
func fitting(entries []Entry, most int) int {
	size := 0
	for i, e := range entries {
		size += e.size()
		if i > 0 && size > batchBytes || i == most {
			return i
		}
	}
	return len(entries)
}

// size returns the bytes of an entry that may be many.
func (e Entry) size() int {
	size := len(e.Message) + len(e.Envelope)
	for _, user := range e.Except {
		size += len(user) + len(`"",`)
	}
	return size
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
