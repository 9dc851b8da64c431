package system_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"rollcall/internal/auth"
	"rollcall/internal/clienttest"
	"rollcall/internal/storetest"
)

// The secrets of all servers here. Each holds the marker, and nothing else does: whatever shows it has given a secret away.
// test/report looks for it in what a whole run says.
const (
	marker        = "pl4nted"
	tokenSecret   = "pl4nted-secret-that-signs-all-tokens-of-these-tests"
	viewerKey     = "rck_pl4nted-viewer-key-0123456789abcdefghij"
	backendKey    = "rck_pl4nted-backend-key-0123456789abcdefghi"
	adminKey      = "rck_pl4nted-admin-key-0123456789abcdefghijk"
	webhookSecret = "whsec_pl4ntedWebhookSecretOfTheTest123"
	rowsPassword  = "pl4nted-password-of-the-database"
)

// leaks is what nothing may show: planted secrets, also in the base64 of Basic authentication by "rollcall", and whole tokens.
var leaks = regexp.MustCompile(marker + `|cGw0bnRl|eyJ[\w-]+\.eyJ[\w-]+\.[\w-]{8,}`)

// keepsSecrets fails the test when a text shows a secret, without showing it again.
func (s *server) keepsSecrets(what, text string) {
	s.t.Helper()
	told := 0
	for i, line := range strings.Split(text, "\n") {
		if at := leaks.FindStringIndex(line); at != nil && told < 3 {
			told++
			s.t.Errorf("%s gives a secret away in line %d, at byte %d, behind %q", what, i+1, at[0], line[max(0, at[0]-60):at[0]])
		}
	}
}

// apiKeys is the part of config.yaml with a key of each role, named after it.
func apiKeys() string {
	all := "auth:\n  api_keys:\n"
	for _, k := range [][2]string{{"viewer", viewerKey}, {"backend", backendKey}, {"admin", adminKey}} {
		sum := sha256.Sum256([]byte(k[1]))
		all += fmt.Sprintf("  - {name: %s, role: %s, sha256: %s}\n", k[0], k[0], hex.EncodeToString(sum[:]))
	}
	return all
}

// withPassword makes a user of MariaDB for this server alone and returns how it logs in.
func (s *server) withPassword() (dsn string) {
	s.t.Helper()
	return storetest.Guest(s.t, s.db, rowsPassword).FormatDSN()
}

// claim changes what a token of a test says.
type claim func(*auth.Signing)

// until sets when a token expires.
func until(at time.Time) claim { return func(s *auth.Signing) { s.ExpiresAt = at } }

// only lets a token into these conferences instead of all.
func only(conferences ...string) claim {
	return func(s *auth.Signing) { s.Conferences = auth.Conferences{Said: true, IDs: conferences} }
}

// unsaid leaves it to the members lists where a token lets its bearer in.
func unsaid(s *auth.Signing) { s.Conferences = auth.Conferences{} }

// system makes a token one of a system client.
func system(s *auth.Signing) { s.System = true }

// token signs a token of a user. Unless the claims say otherwise it is good for an hour and in every conference.
func token(t testing.TB, user string, claims ...claim) string {
	t.Helper()
	s := auth.Signing{Secret: tokenSecret, UserClaim: "sub"}
	s.Identity = auth.Identity{UserID: user, Conferences: auth.Conferences{Said: true, All: true}, ExpiresAt: time.Now().Add(time.Hour)}
	for _, c := range claims {
		c(&s)
	}
	text, err := auth.Sign(s)
	if err != nil || text == "" {
		t.Fatalf("sign a token: %v", err)
	}
	return text
}

// bearing gives a client a token, where clients of its version put it.
func bearing(o clienttest.Options, text string) clienttest.Options {
	if o.Version == 2 {
		o.Headers = map[string]string{"Authorization": "Bearer " + text}
	} else {
		o.Auth = map[string]any{"token": text}
	}
	return o
}
