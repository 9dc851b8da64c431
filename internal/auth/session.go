package auth

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/complaint"
	"rollcall/internal/rescue"
	"rollcall/internal/store"
)

const (
	cookieLength = 43   // characters of randomText
	sessionsMost = 1000 // of one key; the oldest end for the newest
	trimEvery    = time.Hour
	trimBatch    = 500
	trimPause    = 50 * time.Millisecond // between two batches, in which others write
)

// Session is a login at the console.
type Session struct {
	Name      string // of the API key
	Role      Role   // as the configuration has it now
	CSRF      string // what requests that change something have to repeat
	ExpiresAt time.Time
}

// SessionsConfig is what Sessions need.
type SessionsConfig struct {
	DB       *store.DB
	Keys     *Keys
	Lifetime time.Duration
	Net      *rescue.Net
	Log      *slog.Logger
}

// Sessions are the logins at the console, kept in the database: they hold on every node, and end at once everywhere. They
// begin and end by the clock of the database, so that no node with a wrong one prolongs them. Safe for concurrent use.
type Sessions struct {
	cfg   SessionsConfig
	most  int
	batch int
	again complaint.Rarely
}

// sessionRow is a row of console_sessions. Nothing in it opens anything: both texts are hashes of hashes or of 256 random bits.
type sessionRow struct {
	ID          string `gorm:"primaryKey"`
	Fingerprint string
	CreatedAt   int64 `gorm:"autoCreateTime:false"`
	ExpiresAt   int64
}

// TableName names the table for gorm.
func (sessionRow) TableName() string { return "console_sessions" }

// NewSessions returns Sessions; those that are over are deleted while Run runs.
func NewSessions(c SessionsConfig) *Sessions {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Net == nil {
		c.Net = rescue.New(c.Log, nil)
	}
	return &Sessions{cfg: c, most: sessionsMost, batch: trimBatch}
}

// errOver is told to whoever comes with a cookie that is worth nothing, whatever the reason.
var errOver = unauthorized("the session is over, log in again")

// Begin logs the owner of a key in and returns the text of his cookie. Above 1000 sessions of a key the oldest ends.
func (s *Sessions) Begin(ctx context.Context, key Key) (cookie string, session Session, err error) {
	cookie = randomText()
	row := sessionRow{ID: hexHash([]byte(cookie)), Fingerprint: key.fingerprint()}
	err = s.cfg.DB.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		if err := s.makeRoom(tx, row.Fingerprint); err != nil {
			return err
		}
		var err error
		if row.CreatedAt, err = s.cfg.DB.Now(ctx); err != nil {
			return err
		}
		row.ExpiresAt = row.CreatedAt + s.cfg.Lifetime.Milliseconds()
		return tx.Create(&row).Error
	})
	if err != nil {
		return "", Session{}, fmt.Errorf("begin a session: %w", err)
	}
	return cookie, describe(cookie, key, row), nil
}

// makeRoom ends the oldest sessions of a key until there is room for one more.
func (s *Sessions) makeRoom(tx *gorm.DB, fingerprint string) error {
	var ids []string
	err := tx.Model(&sessionRow{}).Where("fingerprint = ?", fingerprint).Order("created_at DESC, id").Offset(s.most-1).Limit(s.batch).Pluck("id", &ids).Error
	if err != nil || len(ids) == 0 {
		return err
	}
	return tx.Where("id IN ?", ids).Delete(&sessionRow{}).Error
}

// Find returns the session of a cookie. One that is over, was ended, or whose key is no longer in the configuration, is an
// Unauthorized fault.
func (s *Sessions) Find(ctx context.Context, cookie string) (Session, error) {
	if len(cookie) != cookieLength {
		return Session{}, errOver
	}
	var row sessionRow
	var now int64
	err := s.cfg.DB.Read(ctx, func(ctx context.Context, tx *gorm.DB) (err error) {
		if err = tx.Where("id = ?", hexHash([]byte(cookie))).Take(&row).Error; err != nil {
			return err
		}
		now, err = s.cfg.DB.Now(ctx)
		return err
	})
	if store.NotFound(err) {
		return Session{}, errOver
	}
	if err != nil {
		return Session{}, fmt.Errorf("find a session: %w", err)
	}
	key, known := s.cfg.Keys.owner(row.Fingerprint)
	if !known || row.ExpiresAt <= now {
		return Session{}, errOver
	}
	return describe(cookie, key, row), nil
}

// describe says what a row means. The text against CSRF follows from the cookie, which no other site can read.
func describe(cookie string, key Key, row sessionRow) Session {
	return Session{Name: key.Name, Role: key.Role, CSRF: hexHash([]byte("csrf:" + cookie)), ExpiresAt: time.UnixMilli(row.ExpiresAt)}
}

// End logs out. An unknown cookie is no error.
func (s *Sessions) End(ctx context.Context, cookie string) error {
	if len(cookie) != cookieLength {
		return nil
	}
	err := s.cfg.DB.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		return tx.Where("id = ?", hexHash([]byte(cookie))).Delete(&sessionRow{}).Error
	})
	if err != nil {
		return fmt.Errorf("end a session: %w", err)
	}
	return nil
}

// Run deletes sessions that are over, at once and then hourly, until ctx ends. It returns nil.
func (s *Sessions) Run(ctx context.Context) error {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	for {
		err := s.cfg.Net.Try("trim console sessions", func() error { return s.trim(ctx) })
		if err != nil && ctx.Err() == nil && s.again.Again("trim") {
			s.cfg.Log.Warn("sessions of the console that are over cannot be deleted, it is tried again", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// trim deletes what is over, a batch at a time.
func (s *Sessions) trim(ctx context.Context) error {
	for {
		var ids []string
		err := s.cfg.DB.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
			now, err := s.cfg.DB.Now(ctx)
			if err != nil {
				return err
			}
			ids = nil
			if err := tx.Model(&sessionRow{}).Where("expires_at <= ?", now).Order("expires_at").Limit(s.batch).Pluck("id", &ids).Error; err != nil || len(ids) == 0 {
				return err
			}
			return tx.Where("id IN ?", ids).Delete(&sessionRow{}).Error
		})
		if err != nil {
			return fmt.Errorf("delete sessions of the console: %w", err)
		}
		if len(ids) < s.batch {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(trimPause):
		}
	}
}
