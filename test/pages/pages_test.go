// Package pages_test opens the pages in Chromium, as people do, on a real server.
package pages_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/internal/servertest"
	"rollcall/internal/storetest"
)

// program is the server, built once.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "rollcall-pages-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "server")
		if err := servertest.Build(program, false); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// serve starts the server with the given configuration and returns its address.
func serve(t *testing.T, settings map[string]string) string {
	t.Helper()
	return serveIn(t, t.TempDir(), settings)
}

// serveIn is serve in a folder that may have a config.yaml.
func serveIn(t *testing.T, dir string, settings map[string]string) string {
	t.Helper()
	all := map[string]string{"http.addr": "127.0.0.1:0", "shutdown.drain": "1s"}
	for k, v := range settings {
		all[k] = v
	}
	var log servertest.Log
	p, err := servertest.Start(servertest.Run{Path: program, Dir: dir, Env: servertest.Env(all), Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(time.Minute); err != nil {
			t.Errorf("%v\n%s", err, log.String())
		}
	})
	base, err := p.Open(time.Minute)
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	return base
}

// browse runs the tests of a project in playwright.config.ts against a server. What they print after "seen: " is shown.
func browse(t *testing.T, base string, projects ...string) {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is not installed: run make deps")
	}
	if _, err := os.Stat("node_modules/@playwright/test"); err != nil {
		t.Fatal("playwright is not installed: run make deps")
	}
	args := []string{"playwright", "test"}
	for _, p := range projects {
		args = append(args, "--project="+p)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npx", args...)
	cmd.Env = append(os.Environ(), "ROLLCALL_TEST_URL="+base, "ROLLCALL_TEST_CHROMIUM="+chromium, "ROLLCALL_TEST_OUT="+t.TempDir())
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("playwright: %v", err)
	}
	lines := bufio.NewScanner(strings.NewReader(string(out)))
	for lines.Scan() {
		if _, seen, ok := strings.Cut(lines.Text(), "seen: "); ok {
			storetest.Show(t, "%s", seen)
		}
	}
}

// Two people hold a meeting in /room while /admin watches, in English at a desk and in Chinese on a phone. When pictures are wanted
// (make pictures), in both languages at both.
func TestMeeting(t *testing.T) {
	projects := []string{"desk", "phone"}
	if os.Getenv("ROLLCALL_TEST_PICTURES") != "" {
		projects = append(projects, "desk-zh", "phone-en")
	}
	browse(t, serve(t, nil), projects...)
}

// Behind locked doors a link with a token leads into the room, and an API key into the console, as far as its role goes.
func TestLocked(t *testing.T) {
	const viewer = "the key of a viewer"
	dir := t.TempDir()
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("auth:\n  mode: jwt\n  hs256_secret: %x\n  api_keys:\n    - {name: reader, role: viewer, sha256: %x}\n", secret, sha256.Sum256([]byte(viewer)))
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	base := serveIn(t, dir, nil)
	sign := exec.CommandContext(t.Context(), program, "token", "-user", "anna", "-name", "Anna", "-conferences", "42")
	sign.Dir = dir
	token, err := sign.Output()
	if err != nil {
		t.Fatalf("sign a token: %v", err)
	}
	t.Setenv("ROLLCALL_TEST_TOKEN", strings.TrimSpace(string(token)))
	t.Setenv("ROLLCALL_TEST_KEY", viewer)
	browse(t, base, "locked")
}

// The first visit of /room by a phone on a slow network is light.
func TestFirstVisit(t *testing.T) {
	browse(t, serve(t, nil), "weight")
}
