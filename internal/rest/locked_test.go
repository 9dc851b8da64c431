package rest

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"testing"
	"time"

	"rollcall/internal/auth"
	"rollcall/internal/config"
	"rollcall/internal/store"
)

// tokenSecret signs tokens in tests.
const tokenSecret = config.Secret("only the tests of this package sign with this")

// keyOfRole is the text of the test's API key with a role.
func keyOfRole(r auth.Role) string { return "rck_key_of_the_" + r.String() }

// apiKeys are one key for each role, each called as the role.
func apiKeys() []config.APIKey {
	var list []config.APIKey
	for _, r := range []auth.Role{auth.Viewer, auth.Backend, auth.Admin} {
		hash := sha256.Sum256([]byte(keyOfRole(r)))
		list = append(list, config.APIKey{Name: r.String(), Role: r.String(), SHA256: hex.EncodeToString(hash[:])})
	}
	return list
}

// by is the header that says that a key of the role asks.
func by(r auth.Role) []string { return []string{"Authorization", "Bearer " + keyOfRole(r)} }

// openLocked is open with a door that asks who comes. Each adjust may change its configuration further.
func openLocked(t testing.TB, db *store.DB, adjust ...func(*Config)) *bench {
	t.Helper()
	tokens, err := auth.NewVerifier(auth.VerifierConfig{HS256Secret: tokenSecret, UserClaim: "sub", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return openWith(t, db, "", func(c *Config) {
		c.Auth = authOf(db, apiKeys())
		c.Auth.Tokens = tokens
		for _, f := range adjust {
			f(c)
		}
	})
}

// authOf knows the given keys, and logins with them, but no tokens.
func authOf(db *store.DB, list []config.APIKey) *Auth {
	keys := auth.NewKeys(list)
	return &Auth{Keys: keys, Sessions: auth.NewSessions(auth.SessionsConfig{DB: db, Keys: keys, Lifetime: time.Hour, Log: slog.New(slog.DiscardHandler)})}
}

// tokenOf signs a token for a user that expires after a while.
func tokenOf(t testing.TB, user string, secret config.Secret, lasts time.Duration) string {
	t.Helper()
	text, err := auth.Sign(auth.Signing{Identity: auth.Identity{UserID: user, ExpiresAt: time.Now().Add(lasts)}, Secret: secret, UserClaim: "sub"})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// loggedIn begins a session as POST /session does, and returns its cookie and its token against CSRF.
func (b *bench) loggedIn(r auth.Role) (cookie, csrf string) {
	b.t.Helper()
	key, ok := b.Auth.Keys.Find(keyOfRole(r))
	if !ok {
		b.t.Fatal("the test has no such key")
	}
	text, s, err := b.Auth.Sessions.Begin(b.t.Context(), key)
	if err != nil {
		b.t.Fatal(err)
	}
	return sessionCookie + "=" + text, s.CSRF
}
