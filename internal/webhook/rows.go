package webhook

import (
	"context"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"

	"gorm.io/gorm"

	"rollcall/internal/store"
)

// The states of an event.
const (
	pending = "pending"
	sent    = "sent"
	dead    = "dead"
)

// lane is an endpoint and a conference: what one is told about the other is told in order.
type lane struct{ endpoint, conference string }

type laneRow struct {
	Endpoint     string `gorm:"primaryKey"`
	ConferenceID string `gorm:"primaryKey"`
	Seq          int64
	DueAt        *int64
}

func (laneRow) TableName() string { return "webhook_lanes" }

func (r laneRow) lane() lane { return lane{r.Endpoint, r.ConferenceID} }

type outboxRow struct {
	ID           string `gorm:"primaryKey"`
	Endpoint     string
	URL          string `gorm:"column:url"`
	ConferenceID string
	Seq          int64
	Type         string
	Body         string
	State        string
	Attempts     int
	FirstAt      *int64
	LastAt       *int64
	LastStatus   int
	LastError    string
	CreatedAt    int64 `gorm:"autoCreateTime:false"`
}

func (outboxRow) TableName() string { return "webhook_outbox" }

// delivery leaves a body out that somebody else wrote and that is not JSON.
func (r outboxRow) delivery() Delivery {
	d := Delivery{
		ID: r.ID, URL: r.URL, ConferenceID: r.ConferenceID, Seq: r.Seq, Type: r.Type, State: r.State, Attempts: r.Attempts,
		FirstAt: r.FirstAt, LastAt: r.LastAt, LastStatus: r.LastStatus, LastError: r.LastError, CreatedAt: r.CreatedAt,
	}
	if json.Valid([]byte(r.Body)) {
		d.Body = json.RawMessage(r.Body)
	}
	return d
}

// clock is the SQL of the database's clock, in milliseconds since 1970: the nodes' own may differ.
func clock(tx *gorm.DB) string {
	if tx.Name() == store.SQLite {
		return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
	}
	return "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)"
}

// A lane's due_at is odd while a node works on it, until when nobody else may, and even otherwise: so that whoever makes a
// lane due at once can end a pause and leaves alone what is under way. Null means nothing is pending.

// free returns ms or the next millisecond that is no lease.
func free(ms int64) int64 { return ms + ms&1 }

// leased returns ms or the next millisecond that is a lease.
func leased(ms int64) int64 { return ms | 1 }

// clip makes a text fit n characters of a column, without signs that tear a line of a log or a page apart.
func clip(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n])
}

// setDue moves the lane that is due at was to due, nil for idle, and thereby holds it until tx ends: nobody appends to it in
// the meantime. It reports whether the lane was as expected.
func setDue(tx *gorm.DB, l lane, was int64, due *int64) (bool, error) {
	r := tx.Model(&laneRow{}).Where("endpoint = ? AND conference_id = ? AND due_at = ?", l.endpoint, l.conference, was).Update("due_at", due)
	return r.RowsAffected > 0, r.Error
}

// headOf returns the pending event of the lane that is next, nil if there is none.
func headOf(tx *gorm.DB, l lane) (*outboxRow, error) {
	var rows []outboxRow
	err := tx.Where("endpoint = ? AND conference_id = ? AND state = ?", l.endpoint, l.conference, pending).Order("seq").Limit(1).Find(&rows).Error
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

// due returns lanes of these endpoints that somebody should work on, the longest waiting first.
func (o *Outbox) due(ctx context.Context, keys []string, limit int) (rows []laneRow, err error) {
	err = o.db.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		rows = nil
		return dueQuery(tx, keys).Limit(limit).Find(&rows).Error
	})
	return rows, err
}

// dueQuery has the endpoint in an expression, so that no database takes the primary key and reads every lane there ever was.
func dueQuery(tx *gorm.DB, keys []string) *gorm.DB {
	return tx.Where("due_at <= "+clock(tx)+" AND COALESCE(endpoint, '') IN ?", keys).Order("due_at")
}
