package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/internal/auth"
	"rollcall/internal/config"
)

// What keygen prints does what it says: the key on the first line opens the door of a configuration made of the rest.
func TestKeygen(t *testing.T) {
	for _, args := range [][]string{{"keygen"}, {"keygen", "-role", "viewer", "-name", `dash "board": [x]`}} {
		code, stdout, stderr := call(t, args...)
		key, rest, _ := strings.Cut(stdout, "\n")
		if code != 0 || stderr != "" || len(key) < 40 || strings.Contains(rest, key) {
			t.Fatalf("%v: %d %q %q", args, code, stdout, stderr)
		}
		file := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(file, []byte(rest), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(config.Source{File: file, FileNamed: true})
		if err != nil {
			t.Fatal(err)
		}
		found, ok := auth.NewKeys(c.Auth.APIKeys).Find(key)
		if name := map[int]string{1: "backend", 5: `dash "board": [x]`}[len(args)]; !ok || found.Name != name || found.Role.String() != c.Auth.APIKeys[0].Role {
			t.Errorf("%v: found %v, %q", args, ok, found.Name)
		}
	}
	_, one, _ := call(t, "keygen")
	if _, other, _ := call(t, "keygen"); one == other {
		t.Error("the same key twice")
	}
}

// A token carries what was asked for and nothing else, and is the only thing on standard output.
func TestToken(t *testing.T) {
	secret := strings.Repeat("s", 32)
	settings := []string{"-auth.hs256_secret", secret, "-auth.issuer", "us", "-auth.audience", "rollcall", "-auth.user_claim", "uid"}
	v, err := auth.NewVerifier(auth.VerifierConfig{HS256Secret: config.Secret(secret), Issuer: "us", Audience: "rollcall", UserClaim: "uid"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want auth.Identity
	}{
		{[]string{"-user", "7"}, auth.Identity{UserID: "7"}},
		{[]string{"-user", "7", "-conferences", "42,43", "-name", "Anna", "-role", "host"}, auth.Identity{UserID: "7", Name: "Anna", Role: "host", Conferences: auth.Conferences{Said: true, IDs: []string{"42", "43"}}}},
		{[]string{"-user", "board", "-conferences", "*", "-system"}, auth.Identity{UserID: "board", System: true, Conferences: auth.Conferences{Said: true, All: true}}},
		{[]string{"-user", "7", "-conferences", "", "-for", "30m"}, auth.Identity{UserID: "7", Conferences: auth.Conferences{Said: true}}},
	} {
		code, stdout, stderr := call(t, append(append([]string{"token"}, settings...), c.args...)...)
		if code != 0 || stderr != "" || strings.Count(stdout, "\n") != 1 {
			t.Fatalf("%v: %d %q %q", c.args, code, stdout, stderr)
		}
		who, err := v.Verify(t.Context(), strings.TrimSpace(stdout))
		if err != nil {
			t.Fatalf("%v: %v", c.args, err)
		}
		if left := time.Until(who.ExpiresAt); left > time.Hour || left < 29*time.Minute {
			t.Errorf("%v: valid for %v", c.args, left)
		}
		who.ExpiresAt = time.Time{}
		if len(who.Conferences.IDs) == 0 {
			who.Conferences.IDs = nil
		}
		if diff := cmp.Diff(c.want, who); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.args, diff)
		}
	}
}

// Whoever calls it wrongly is told what to do, and gets no token.
func TestCredentialsWrongCalls(t *testing.T) {
	for _, args := range [][]string{
		{"keygen", "-role", "king"}, {"keygen", "-name", "system"}, {"keygen", "-name", ""}, {"keygen", "stray"}, {"keygen", "-bits", "1"},
		{"token"}, {"token", "-user", "undefined"}, {"token", "-user", "a b"}, {"token", "-user", "7", "-role", "admin"}, {"token", "-user", "7", "-for", "-1h"}, {"token", "-user", "7", "-for", "soon"},
		{"token", "-user", "7", "-conferences", "42,,43"}, {"token", "-user", "7", "stray"},
	} {
		if code, stdout, stderr := call(t, args...); code != 2 || stdout != "" || !strings.Contains(stderr, "usage:") {
			t.Errorf("%v: exit code %d, said %q", args, code, stderr)
		}
	}
	code, stdout, stderr := call(t, "token", "-user", "7")
	if code != 1 || stdout != "" || !strings.Contains(stderr, "auth.hs256_secret") || !strings.Contains(stderr, "ROLLCALL_AUTH_HS256_SECRET") || strings.Contains(stderr, "usage:") {
		t.Errorf("without a secret: %d %q %q", code, stdout, stderr)
	}
}

// check finds a file that is no public key, with the other problems and before the service is started.
func TestCheckReadsTheKeyFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, []byte("no key, but pl4nted"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := call(t, "check", "-auth.mode", "jwt", "-auth.public_key_file", file, "-log.level", "loud")
	if code != 1 || !strings.Contains(stderr, "2 problem") || !strings.Contains(stderr, "auth.public_key_file: ") || strings.Contains(stderr, "pl4nted") {
		t.Errorf("exit code %d, said %s", code, stderr)
	}
}
