package examples_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"rollcall/internal/auth"
	"rollcall/internal/clienttest"
	"rollcall/internal/servertest"
)

// Secrets with the marker that test/report looks for in everything that tests say.
const (
	tokenSecret   = "pl4nted-secret-that-signs-all-tokens-of-these-tests"
	backendKey    = "rck_pl4nted-backend-key-0123456789abcdefghi"
	webhookSecret = "whsec_pl4ntedWebhookSecretOfTheTest123"
)

var leaks = regexp.MustCompile(`pl4nted|cGw0bnRl|eyJ[\w-]+\.eyJ[\w-]+\.[\w-]{8,}`)

// keepsSecrets fails the test when a text shows a secret, without showing it again.
func keepsSecrets(t *testing.T, what, text string) {
	t.Helper()
	if at := leaks.FindStringIndex(text); at != nil {
		t.Errorf("%s gives a secret away behind %q", what, text[max(0, at[0]-60):at[0]])
	}
}

// server is a running rollcall with auth.mode jwt that knows backendKey.
type server struct {
	t    *testing.T
	base string // http://127.0.0.1:port
}

// launch starts a server on an empty SQLite database which tells these URLs everything.
func launch(t *testing.T, webhooks ...string) *server {
	t.Helper()
	sum := sha256.Sum256([]byte(backendKey))
	file := "auth:\n  api_keys:\n  - {name: backend, role: backend, sha256: " + hex.EncodeToString(sum[:]) + "}\nwebhooks:\n"
	for _, url := range webhooks {
		file += fmt.Sprintf("- {url: %s, secret: %s}\n", url, webhookSecret)
	}
	if len(webhooks) == 0 {
		file = strings.TrimSuffix(file, "webhooks:\n")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	var log servertest.Log
	env := servertest.Env(map[string]string{"http.addr": "127.0.0.1:0", "auth.mode": "jwt", "auth.hs256_secret": tokenSecret})
	p, err := servertest.Start(servertest.Run{Path: serverPath, Dir: dir, Env: env, Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		keepsSecrets(t, "the server's log", log.String())
		if t.Failed() {
			t.Logf("the server's log:\n%s", leaks.ReplaceAllString(log.String(), "<secret>"))
		}
	})
	base, err := p.Open(60 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return &server{t, base}
}

// settings are those with which an example may call this server.
func (s *server) settings() settings { return settings{"RC_URL": s.base, "RC_API_KEY": backendKey} }

// get reads a path of REST below /api/v1.
func get[T any](t *testing.T, s *server, path string) (answer T) {
	t.Helper()
	got, err := servertest.Call(t.Context(), "GET", s.base+"/api/v1"+path, nil, "Authorization", "Bearer "+backendKey)
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	if err := json.Unmarshal(got.Body, &answer); err != nil || got.Status != 200 {
		t.Fatalf("GET %s answered %d %s", path, got.Status, got.Body)
	}
	return answer
}

// item is a notice in an inbox.
type item struct{ ID, Title, Body string }

func (s *server) inbox(t *testing.T, user string) []item {
	t.Helper()
	return get[struct{ Items []item }](t, s, "/users/"+user+"/inbox").Items
}

// enter lets a user into a conference with the socket.io-client of npm.
func (s *server) enter(t *testing.T, d *clienttest.Driver, user, conference string) *clienttest.Client {
	t.Helper()
	text, err := auth.Sign(auth.Signing{Secret: tokenSecret, UserClaim: "sub", Identity: auth.Identity{
		UserID: user, Conferences: auth.Conferences{Said: true, IDs: []string{conference}}, ExpiresAt: time.Now().Add(time.Hour)}})
	if err != nil {
		t.Fatalf("sign a token: %v", err)
	}
	return d.Connect(t, clienttest.Options{URL: s.base, Query: map[string]string{"conferenceId": conference}, Auth: map[string]any{"token": text}, AutoAck: true})
}
