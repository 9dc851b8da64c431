package notice

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"rollcall/internal/store"
)

// rowBatch bounds the rows of one statement: SQLite bounds the depth of a condition, and every database the number
// of parameters.
const rowBatch = 200

// longest is the width of the columns that hold names, in characters.
const longest = 255

type announcementRow struct {
	ConferenceID string `gorm:"primaryKey"`
	UserID       string `gorm:"primaryKey"`
	Said         string
	DueAt        *int64
	ChangeNo     int64
	HeldNo       int64
}

func (announcementRow) TableName() string { return "notice_announcements" }

type noticeRow struct {
	ID           string `gorm:"primaryKey"`
	ConferenceID string
	SenderID     string
	SenderName   string
	Actor        string
	Event        string
	Category     string
	Label        string
	SendType     string
	Message      string
	Audience     int
	Sent         int
	Acked        int
	ReadCount    int
	FromIP       string `gorm:"column:from_ip"`
	Online       int
	State        string
	CreatedAt    int64 `gorm:"autoCreateTime:false"`
	ToAll        bool
	Scope        string
	ClientTypes  string
	ExceptUsers  string
	Envelope     string
	Stored       bool
	RequireAck   bool
	SentAt       int64
	ExpiresAt    *int64
}

func (noticeRow) TableName() string { return "notices" }

type deliveryRow struct {
	NoticeID   string `gorm:"primaryKey"`
	UserID     string `gorm:"primaryKey"`
	State      string
	At         int64
	SessionID  string
	ClientType string
	DeviceID   string
	IP         string `gorm:"column:ip"`
	Inbox      int    // one of the three below
	AckedAt    *int64
	ReadAt     *int64
}

// What deliveryRow.Inbox says.
const (
	outOfInbox = 0
	unread     = 1
	wasRead    = 2
)

func (deliveryRow) TableName() string { return "notice_deliveries" }

func rowOf(e Entry) noticeRow {
	return noticeRow{
		ID: e.ID, ConferenceID: e.ConferenceID, SenderID: e.SenderID, SenderName: clip(e.SenderName), Actor: e.Actor, Event: e.Event,
		Category: e.Category, Label: clip(e.Label), SendType: e.SendType, Message: strings.ToValidUTF8(string(e.Message), "\uFFFD"), Audience: e.Audience, Sent: e.Sent,
		Acked: e.Acked, ReadCount: e.Read, FromIP: e.FromIP, Online: e.Online, State: e.State, CreatedAt: e.CreatedAt,
		ToAll: e.ToAll, Scope: e.Scope, ClientTypes: typeList(e.ClientTypes), ExceptUsers: userList(e.Except), Envelope: strings.ToValidUTF8(string(e.Envelope), "\uFFFD"),
		Stored: e.Stored, RequireAck: e.RequireAck, SentAt: e.SentAt, ExpiresAt: optional(e.ExpiresAt),
	}
}

// entry leaves a message out that somebody else wrote and that is not JSON.
func (r noticeRow) entry() Entry {
	return Entry{
		ID: r.ID, ConferenceID: r.ConferenceID, SenderID: r.SenderID, SenderName: r.SenderName, Actor: r.Actor, Event: r.Event,
		Category: r.Category, Label: r.Label, SendType: r.SendType, Message: valid(r.Message), Audience: r.Audience, Sent: r.Sent, Acked: r.Acked,
		Read: r.ReadCount, FromIP: r.FromIP, Online: r.Online, State: r.State, CreatedAt: r.CreatedAt,
		ToAll: r.ToAll, Except: users(r.ExceptUsers), Scope: r.Scope, ClientTypes: types(r.ClientTypes), Envelope: valid(r.Envelope),
		Stored: r.Stored, RequireAck: r.RequireAck, SentAt: r.SentAt, ExpiresAt: orZero(r.ExpiresAt),
	}
}

// deliveryOf puts what is stored into the inbox of the user. A notice to all is there without a row.
func deliveryOf(e Entry, d Delivery) deliveryRow {
	r := deliveryRow{
		NoticeID: e.ID, UserID: d.UserID, State: d.State, At: d.At, SessionID: d.SessionID, ClientType: d.ClientType, DeviceID: d.DeviceID, IP: d.IP,
		AckedAt: optional(d.AckedAt), ReadAt: optional(d.ReadAt),
	}
	if e.Stored && !e.ToAll {
		r.Inbox = unread
	}
	return r
}

func (r deliveryRow) delivery() Delivery {
	return Delivery{
		UserID: r.UserID, State: r.State, At: r.At, SessionID: r.SessionID, ClientType: r.ClientType, DeviceID: r.DeviceID, IP: r.IP,
		AckedAt: orZero(r.AckedAt), ReadAt: orZero(r.ReadAt),
	}
}

func valid(text string) json.RawMessage {
	if !json.Valid([]byte(text)) {
		return nil
	}
	return json.RawMessage(text)
}

// optional is the column of a number that need not be there, orZero the way back.
func optional(n int64) *int64 {
	if n == 0 {
		return nil
	}
	return &n
}

func orZero(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// typeList writes types of clients as ",app,pc,", in which each is found between commas.
func typeList(types []string) string {
	if len(types) == 0 {
		return ""
	}
	return "," + strings.Join(types, ",") + ","
}

func types(list string) []string {
	if list = strings.Trim(list, ","); list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

// userList writes users as JSON. Ids need no escapes, so that each is found between quotes.
func userList(users []string) string {
	if len(users) == 0 {
		return ""
	}
	list, _ := json.Marshal(users) // strings always can be
	return string(list)
}

func users(list string) []string {
	var users []string
	_ = json.Unmarshal([]byte(list), &users) // what is no list excepts nobody
	return users
}

// clip makes a text fit its column, so that an over-long name does not keep its row out of the log.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if utf8.RuneCountInString(s) <= longest {
		return s
	}
	return string([]rune(s)[:longest])
}

// table is the standings in the database.
type table struct{ db *store.DB }

func (t table) record(ctx context.Context, pairs []pair, dueAt int64) error {
	rows := make([]announcementRow, len(pairs))
	for i, p := range pairs {
		rows[i] = announcementRow{ConferenceID: p.conference, UserID: p.user, DueAt: &dueAt, ChangeNo: 1}
	}
	return t.db.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		return tx.Clauses(clause.OnConflict{
			Columns: []clause.Column{{Name: "conference_id"}, {Name: "user_id"}},
			DoUpdates: append(clause.AssignmentColumns([]string{"due_at"}),
				clause.Assignment{Column: clause.Column{Name: "change_no"}, Value: gorm.Expr("notice_announcements.change_no + 1")}),
		}).CreateInBatches(rows, rowBatch).Error
	})
}

func (t table) due(ctx context.Context, now int64, limit int) ([]Pending, error) {
	var rows []announcementRow
	err := t.db.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) error {
		rows = nil
		return tx.Where("due_at <= ?", now).Order("due_at").Limit(limit).Find(&rows).Error
	})
	due := make([]Pending, len(rows))
	for i, r := range rows {
		due[i] = Pending{r.ConferenceID, r.UserID, r.ChangeNo}
	}
	return due, err
}

func (t table) look(ctx context.Context, pairs []pair) (rows map[pair]standing, err error) {
	err = t.db.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		rows, err = readStandings(tx, pairs)
		return err
	})
	return rows, err
}

func (t table) settle(ctx context.Context, pairs []pair, fn func(context.Context, map[pair]standing) ([]standing, []Entry, error)) error {
	return t.db.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		locked := tx
		if t.db.Dialect() == store.MySQL { // SQLite has one writer at a time
			locked = tx.Clauses(clause.Locking{Strength: "UPDATE"}).Session(&gorm.Session{})
		}
		rows, err := readStandings(locked, pairs)
		if err != nil {
			return err
		}
		changed, entries, err := fn(ctx, rows)
		if err != nil {
			return err
		}
		if len(entries) > 0 {
			store.Witness(ctx, isLogged(t.db, entries[0].ID))
		}
		if err := saveStandings(tx, changed); err != nil {
			return err
		}
		return insert(tx, entries)
	})
}

func readStandings(tx *gorm.DB, pairs []pair) (map[pair]standing, error) {
	found := make(map[pair]standing, len(pairs))
	for part := range slices.Chunk(pairs, rowBatch) {
		keys := make([][2]string, len(part))
		for i, p := range part {
			keys[i] = [2]string{p.conference, p.user}
		}
		var rows []announcementRow
		if err := tx.Where(store.Pairs(tx, "conference_id", "user_id", keys)).Order("conference_id, user_id").Find(&rows).Error; err != nil {
			return nil, err
		}
		for _, r := range rows {
			p := pair{r.ConferenceID, r.UserID}
			s := standing{pair: p, said: r.Said, change: r.ChangeNo, held: r.HeldNo}
			if r.DueAt != nil {
				s.dueAt = *r.DueAt
			}
			found[p] = s
		}
	}
	return found, nil
}

func saveStandings(tx *gorm.DB, changed []standing) error {
	if len(changed) == 0 {
		return nil
	}
	rows := make([]announcementRow, len(changed))
	for i, s := range changed {
		rows[i] = announcementRow{ConferenceID: s.conference, UserID: s.user, Said: s.said, ChangeNo: s.change, HeldNo: s.held}
		if s.dueAt != 0 {
			rows[i].DueAt = &s.dueAt
		}
	}
	return tx.Clauses(clause.OnConflict{
		Columns:   []clause.Column{{Name: "conference_id"}, {Name: "user_id"}},
		DoUpdates: clause.AssignmentColumns([]string{"said", "due_at", "held_no"}),
	}).CreateInBatches(rows, rowBatch).Error
}
