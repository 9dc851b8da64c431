package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/store"
)

// Page sizes of List.
const (
	usualPage = 50
	maxPage   = 200
)

// Delivery is an event for one endpoint and what became of it. Times are milliseconds since 1970.
type Delivery struct {
	ID           string // the header webhook-id of every attempt
	URL          string // without user, query and fragment
	ConferenceID string
	Seq          int64 // in the conference, for this endpoint
	Type         string
	Body         json.RawMessage // nil if it is no JSON any more
	State        string          // pending, sent or dead
	Attempts     int
	FirstAt      *int64 // nil: not tried yet
	LastAt       *int64
	LastStatus   int    // 0: no answer, or not tried
	LastError    string // "" after success
	CreatedAt    int64
}

// List returns a page of the outbox, newest first, and the cursor of the next page, "" when there is none. state is
// pending, sent, dead, or "" for all; limit is 1 to 200, 0 means 50. Another state is a fault of kind Invalid with code
// bad_payload, a cursor that List did not return one with code bad_cursor.
func (o *Outbox) List(ctx context.Context, state, cursor string, limit int) (items []Delivery, next string, err error) {
	switch state {
	case "", pending, sent, dead:
	default:
		return nil, "", fault.Invalidf("the state of a delivery is pending, sent or dead")
	}
	if cursor != "" && !ulid.MatchString(cursor) {
		return nil, "", fault.New(fault.Invalid, "bad_cursor", "the cursor is not one that an earlier page returned")
	}
	if limit <= 0 {
		limit = usualPage
	}
	if o == nil {
		return nil, "", nil
	}
	limit = min(limit, maxPage)
	var rows []outboxRow
	err = o.db.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		rows = nil
		return listQuery(tx, state, cursor).Limit(limit + 1).Find(&rows).Error
	})
	if err != nil {
		return nil, "", fmt.Errorf("list webhook deliveries: %w", err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next = rows[limit-1].ID
	}
	items = make([]Delivery, len(rows))
	for i, r := range rows {
		items[i] = r.delivery()
	}
	return items, next, nil
}

func listQuery(tx *gorm.DB, state, cursor string) *gorm.DB {
	q := tx.Order("id DESC")
	if state != "" {
		q = q.Where("state = ?", state)
	}
	if cursor != "" {
		q = q.Where("id < ?", cursor)
	}
	return q
}

// ulid is the form of what id.New makes. No other text reaches the database.
var ulid = regexp.MustCompile(`^[0-9A-Z]{26}$`)

// Replay sends an event again, dead or sent ones as if they were new but with the id they had. A pending one is only
// tried at once. Joins the transaction that ctx carries. An unknown id is a fault of kind NotFound.
//
// If the endpoint is configured nowhere any more, the event is dead again after a day.
func (o *Outbox) Replay(ctx context.Context, deliveryID string) error {
	missing := fault.New(fault.NotFound, "not_found", "there is no such delivery")
	if o == nil || !ulid.MatchString(deliveryID) {
		return missing
	}
	err := o.db.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		var row outboxRow
		if err := tx.Select("endpoint", "conference_id").Where("id = ?", deliveryID).Take(&row).Error; store.NotFound(err) {
			return missing
		} else if err != nil {
			return err
		}
		if err := dueNow(tx, lane{row.Endpoint, row.ConferenceID}); err != nil {
			return err
		}
		r := tx.Model(&outboxRow{}).Where("id = ? AND state <> ?", deliveryID, pending).
			Updates(map[string]any{"state": pending, "attempts": 0, "first_at": nil, "last_status": 0, "last_error": ""})
		store.AfterCommit(ctx, o.rouse)
		return r.Error
	})
	if err != nil {
		return fmt.Errorf("replay a webhook delivery: %w", err)
	}
	return nil
}

// dueNow ends the pause of a lane. A lane that a node works on stays as it is: that node looks for the next event anyway.
func dueNow(tx *gorm.DB, l lane) error {
	now := clock(tx)
	return tx.Exec(fmt.Sprintf("UPDATE webhook_lanes SET due_at = CASE WHEN due_at %% 2 = 1 AND due_at > %s THEN due_at ELSE %s - %s %% 2 END "+
		"WHERE endpoint = ? AND conference_id = ?", now, now, now), l.endpoint, l.conference).Error
}
