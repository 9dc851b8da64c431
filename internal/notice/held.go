package notice

import (
	"context"
	"encoding/json"
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"rollcall/internal/store"
)

// Held is a message that is kept for a user who is reconnecting.
type Held struct {
	ID, UserID  string // ID is given by Post if empty
	NoticeID    string
	Scope       string   // only for sockets in this conference; "" is any
	ClientTypes []string // only for sockets of these types; none is any
	Event       string
	Args        []json.RawMessage
	ExpiresAt   int64 // the end of his grace
}

type heldRow struct {
	UserID      string `gorm:"primaryKey"`
	ID          string `gorm:"primaryKey"`
	NoticeID    string
	Scope       string
	ClientTypes string
	Event       string
	Args        string
	ExpiresAt   int64
}

func (heldRow) TableName() string { return "notice_held" }

// rowOfHeld joins the arguments, which are JSON, to a list.
func rowOfHeld(h Held) heldRow {
	args := []byte{'['}
	for i, a := range h.Args {
		if i > 0 {
			args = append(args, ',')
		}
		args = append(args, a...)
	}
	args = append(args, ']')
	return heldRow{h.UserID, h.ID, h.NoticeID, h.Scope, typeList(h.ClientTypes), h.Event, string(args), h.ExpiresAt}
}

func (r heldRow) held() (Held, error) {
	h := Held{ID: r.ID, UserID: r.UserID, NoticeID: r.NoticeID, Scope: r.Scope, ClientTypes: types(r.ClientTypes), Event: r.Event, ExpiresAt: r.ExpiresAt}
	err := json.Unmarshal([]byte(r.Args), &h.Args)
	return h, err
}

// TakeHeld returns what is kept for the user and fits the view, oldest first, and keeps it no longer. Of two devices
// that come at once each message goes to one. What has expired is left out.
func (n *Notices) TakeHeld(ctx context.Context, v View) ([]Held, error) {
	var taken []Held
	fits, args := v.fits("h")
	err := n.db.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		taken = nil
		var rows []heldRow
		args := append([]any{v.UserID, n.now()}, args...)
		if err := locking(tx).Table("notice_held AS h").Where("h.user_id = ? AND h.expires_at > ?"+fits, args...).Order("h.id").Find(&rows).Error; err != nil {
			return err
		}
		ids := make([]string, len(rows))
		for i, r := range rows {
			ids[i] = r.ID
			if h, err := r.held(); err == nil { // what somebody broke is nothing that could be sent
				taken = append(taken, h)
			}
		}
		return inParts(ids, func(part []string) error {
			return tx.Where("user_id = ? AND id IN ?", v.UserID, part).Delete(&heldRow{}).Error
		})
	})
	if err != nil {
		return nil, fmt.Errorf("take what is kept for a user: %w", err)
	}
	return taken, nil
}

// locking returns a handle that locks the rows it reads. SQLite has one writer at a time.
func locking(tx *gorm.DB) *gorm.DB {
	if tx.Name() != store.MySQL {
		return tx
	}
	return tx.Clauses(clause.Locking{Strength: "UPDATE"}).Session(&gorm.Session{})
}
