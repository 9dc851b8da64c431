package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/config"
	"rollcall/internal/fault"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// twoKeys returns Keys and its two, a viewer and an admin.
func twoKeys(t testing.TB) (all *Keys, viewer, admin Key) {
	t.Helper()
	one, oneHash := NewKey()
	two, twoHash := NewKey()
	all = NewKeys([]config.APIKey{{Name: "reader", Role: "viewer", SHA256: oneHash}, {Name: "boss", Role: "admin", SHA256: twoHash}})
	viewer, _ = all.Find(one)
	admin, _ = all.Find(two)
	return all, viewer, admin
}

func logins(t testing.TB, db *store.DB) (rows []sessionRow) {
	t.Helper()
	err := db.Read(t.Context(), func(_ context.Context, tx *gorm.DB) error {
		rows = nil
		return tx.Order("created_at, id").Find(&rows).Error
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// age moves all sessions into the past.
func age(t testing.TB, db *store.DB, by time.Duration) {
	t.Helper()
	err := db.Write(t.Context(), func(_ context.Context, tx *gorm.DB) error {
		ms := by.Milliseconds()
		return tx.Exec("UPDATE console_sessions SET created_at = created_at - ?, expires_at = expires_at - ?", ms, ms).Error
	})
	if err != nil {
		t.Fatal(err)
	}
}

func over(t testing.TB, s *Sessions, cookie, why string) {
	t.Helper()
	got, err := s.Find(t.Context(), cookie)
	if !fault.Is(err, fault.Unauthorized) || got != (Session{}) {
		t.Errorf("%s: %+v, %v", why, got, err)
	}
}

// A session holds on every node until it is over, is logged out, or its key is gone.
func TestSessions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		keys, viewer, admin := twoKeys(t)
		s := NewSessions(SessionsConfig{DB: db, Keys: keys, Lifetime: time.Hour})
		other := NewSessions(SessionsConfig{DB: db, Keys: keys, Lifetime: time.Minute}) // another node
		cookie, begun, err := s.Begin(t.Context(), admin)
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`).MatchString(cookie) || begun.Name != "boss" || begun.Role != Admin || begun.CSRF == "" {
			t.Errorf("a cookie of %d characters for %+v", len(cookie), begun)
		}
		if left := time.Until(begun.ExpiresAt); left < 50*time.Minute || left > 70*time.Minute {
			t.Errorf("it lasts %v", left)
		}
		for _, node := range []*Sessions{s, other} {
			if found, err := node.Find(t.Context(), cookie); err != nil || found != begun {
				t.Errorf("found %+v, %v; want %+v", found, err, begun)
			}
		}
		second, reader, err := s.Begin(t.Context(), viewer)
		if err != nil || reader.Role != Viewer || reader.CSRF == begun.CSRF || second == cookie {
			t.Errorf("the second: %+v, %v", reader, err)
		}
		for _, wrong := range []string{"", "x", cookie[:42], cookie + "A", strings.ToLower(cookie), hexHash([]byte(cookie)), begun.CSRF, cookie[:42] + "\x00", strings.Repeat("c", 1<<20), "%", "' OR 1=1 --" + cookie[:32]} {
			over(t, s, wrong, fmt.Sprintf("a wrong cookie of %d characters", len(wrong)))
			if err := s.End(t.Context(), wrong); err != nil {
				t.Errorf("end a wrong one: %v", err)
			}
		}
		changed := NewSessions(SessionsConfig{DB: db, Keys: NewKeys([]config.APIKey{{Name: "chief", Role: "backend", SHA256: fmt.Sprintf("%x", admin.hash)}}), Lifetime: time.Hour})
		if found, err := changed.Find(t.Context(), cookie); err != nil || found.Name != "chief" || found.Role != Backend {
			t.Errorf("with another name and role in the configuration: %+v, %v", found, err)
		}
		over(t, changed, second, "its key is gone")
		if err := other.End(t.Context(), cookie); err != nil {
			t.Fatal(err)
		}
		over(t, s, cookie, "it was ended on the other node")
		age(t, db, time.Hour)
		over(t, s, second, "its time is over")
	})
}

// What is in the table opens nothing: neither a cookie nor a key, and no hash of a key that could be tried as one.
func TestSessionRowsOpenNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		keys, _, admin := twoKeys(t)
		s := NewSessions(SessionsConfig{DB: db, Keys: keys, Lifetime: time.Hour})
		cookie, session, err := s.Begin(t.Context(), admin)
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("%+v", logins(t, db))
		for what, secret := range map[string]string{"cookie": cookie, "hash of the key": fmt.Sprintf("%x", admin.hash), "text against CSRF": session.CSRF} {
			if strings.Contains(text, secret) {
				t.Errorf("the %s is in the table", what)
			}
		}
		for _, row := range logins(t, db) {
			over(t, s, row.ID, "the id of a row as cookie")
		}
	})
}

// A thousand logins with one key: the table does not grow, the newest stay, and other keys feel nothing.
func TestSessionsOfAKeyAreBounded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		keys, viewer, admin := twoKeys(t)
		s := NewSessions(SessionsConfig{DB: db, Keys: keys, Lifetime: time.Hour})
		s.most = 5
		kept, _, err := s.Begin(t.Context(), viewer)
		if err != nil {
			t.Fatal(err)
		}
		var cookies []string
		for range 12 {
			cookie, _, err := s.Begin(t.Context(), admin)
			if err != nil {
				t.Fatal(err)
			}
			cookies = append(cookies, cookie)
			age(t, db, time.Second) // so that no two are of one millisecond
		}
		for i, c := range cookies {
			if _, err := s.Find(t.Context(), c); (err == nil) != (i >= 7) {
				t.Errorf("session %d of 12: %v", i, err)
			}
		}
		if _, err := s.Find(t.Context(), kept); err != nil || len(logins(t, db)) != 6 {
			t.Errorf("the other key: %v; %d rows", err, len(logins(t, db)))
		}
	})
}

// Logging in, looking and logging out at once, from many places, disturbs nobody.
func TestSessionsAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		keys, viewer, admin := twoKeys(t)
		s := NewSessions(SessionsConfig{DB: db, Keys: keys, Lifetime: time.Hour})
		var wait sync.WaitGroup
		for i := range 8 {
			wait.Go(func() {
				for range storetest.Size(50, 5) {
					key := []Key{viewer, admin}[i%2]
					cookie, _, err := s.Begin(t.Context(), key)
					if err != nil {
						t.Error(err)
						return
					}
					if got, err := s.Find(t.Context(), cookie); err != nil || got.Name != key.Name {
						t.Errorf("found %+v, %v", got, err)
					}
					if err := s.End(t.Context(), cookie); err != nil {
						t.Error(err)
					}
					over(t, s, cookie, "ended")
				}
			})
		}
		wait.Wait()
		if n := len(logins(t, db)); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
}

// Those that are over go, in batches, as soon as Run runs; those that are not stay.
func TestSessionsAreTrimmed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		keys, viewer, admin := twoKeys(t)
		s := NewSessions(SessionsConfig{DB: db, Keys: keys, Lifetime: time.Hour})
		s.batch = 3
		for range 8 {
			if _, _, err := s.Begin(t.Context(), admin); err != nil {
				t.Fatal(err)
			}
		}
		age(t, db, time.Hour)
		stays, _, err := s.Begin(t.Context(), viewer)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		storetest.Eventually(t, func() bool { return len(logins(t, db)) == 1 }, "only one session is left")
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run ends with %v", err)
		}
		if _, err := s.Find(t.Context(), stays); err != nil {
			t.Errorf("the one that is not over: %v", err)
		}
	})
}

// While the database is away nobody is told that his session is over: it may not be. Run complains and goes on.
func TestSessionsWithoutDatabase(t *testing.T) {
	db := storetest.OpenConfig(t, storetest.DSN(t, store.SQLite)) // without tables, which Run must survive
	var log journal
	keys, _, admin := twoKeys(t)
	s := NewSessions(SessionsConfig{DB: db, Keys: keys, Lifetime: time.Hour, Log: log.logger()})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	storetest.Eventually(t, func() bool { return strings.Contains(log.String(), "cannot be deleted") }, "Run complains")
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run ends with %v", err)
	}
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrUnexpectedEOF)
	cookie := randomText()
	_, err := s.Find(gone, cookie)
	_, _, beginErr := s.Begin(gone, admin)
	if err := errors.Join(err, beginErr, s.End(gone, cookie)); !fault.Is(err, fault.Unavailable) || fault.Is(err, fault.Unauthorized) {
		t.Errorf("a call that came to nothing: %v", err)
	}
}
