package main

import (
	"bytes"
	"context"
	"database/sql"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	_ "github.com/glebarez/go-sqlite"
)

// call runs a command in an empty folder of its own and returns its exit code and what it wrote.
func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, nil, &out, &errs)
	return code, out.String(), errs.String()
}

// A bad configuration is told in one go, each problem with its key and its place.
func TestCheckSaysEverything(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	bad := "http:\n  adr: 127.0.0.1:1\npresence:\n  grace: soon\ndatabase:\n  driver: oracle\nlog:\n  level: loud\n"
	if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := call(t, "check", "-config", file, "-socket.max_payload", "1")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"5 problem", "http.adr", "config.yaml:2", "presence.grace", "config.yaml:4", "database.driver", "config.yaml:6", "log.level", "config.yaml:8", "socket.max_payload"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%q is not in\n%s", want, stderr)
		}
	}
	if code, stdout, _ := call(t, "check", "-http.addr", "127.0.0.1:9"); code != 0 || !strings.Contains(stdout, "valid") {
		t.Errorf("a good configuration: %d %q", code, stdout)
	}
}

// Without authentication the service is for this machine alone, unless somebody says otherwise in so many words.
func TestOpenAddressIsRefused(t *testing.T) {
	code, _, stderr := call(t, "serve", "-http.addr", "0.0.0.0:0", "-database.dsn", filepath.Join(t.TempDir(), "r.db"))
	if code != 1 || strings.Count(strings.TrimSpace(stderr), "\n") != 1 || !strings.Contains(stderr, "auth.mode") || !strings.Contains(stderr, "auth.allow_insecure") {
		t.Errorf("exit code %d, said:\n%s", code, stderr)
	}
	if code, _, _ := call(t, "check", "-http.addr", "0.0.0.0:0", "-auth.allow_insecure", "true"); code != 0 {
		t.Errorf("with allow_insecure: exit code %d", code)
	}
}

func TestWrongCalls(t *testing.T) {
	for _, args := range [][]string{{"fly"}, {"serve", "-no.such.key", "1"}, {"check", "stray"}, {"migrate", "sideways"}} {
		if code, _, stderr := call(t, args...); code != 2 || !strings.Contains(stderr, "usage:") {
			t.Errorf("%v: exit code %d, said %q", args, code, stderr)
		}
	}
	for _, args := range [][]string{{"version"}, {"help"}, {"serve", "-h"}, {"serve", "-keys"}} {
		if code, stdout, _ := call(t, args...); code != 0 || stdout == "" {
			t.Errorf("%v: exit code %d, said %q", args, code, stdout)
		}
	}
}

// A database that a later version has migrated is left alone.
func TestMigrate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "deep", "r.db")
	if code, stdout, stderr := call(t, "migrate", "status", "-database.dsn", file); code != 0 || !strings.Contains(stdout, "version 0 of") {
		t.Fatalf("%d %q %q", code, stdout, stderr)
	}
	if code, stdout, stderr := call(t, "migrate", "up", "-database.dsn", file); code != 0 || !strings.Contains(stdout, "version 5 of 5") {
		t.Fatalf("%d %q %q", code, stdout, stderr)
	}
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("INSERT INTO schema_version (version_id, is_applied) VALUES (999, 1)"); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"migrate", "up"}, {"migrate", "status"}, {"serve", "-http.addr", "127.0.0.1:0"}} {
		if code, _, stderr := call(t, append(command, "-database.dsn", file)...); code != 1 || !strings.Contains(stderr, "newer") {
			t.Errorf("%v on a newer schema: exit code %d, said %q", command, code, stderr)
		}
	}
}

var ready = regexp.MustCompile(`ready=(http://\S+)`)

// The whole program opens, says where to go, answers, and stops when it is told to.
func TestServe(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r, w := io.Pipe()
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"-http.addr", "127.0.0.1:0", "-database.dsn", filepath.Join(t.TempDir(), "r.db")}, nil, io.Discard, w)
		_ = w.Close()
	}()
	url := make(chan string, 1)
	go func() {
		var all []byte
		buffer := make([]byte, 4096)
		for {
			n, err := r.Read(buffer)
			if all = append(all, buffer[:n]...); ready.Match(all) && cap(url) > len(url) {
				url <- string(ready.FindSubmatch(all)[1])
			}
			if err != nil {
				return
			}
		}
	}()
	resp, err := http.Get(<-url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("readyz answered %d", resp.StatusCode)
	}
	stop()
	if code := <-done; code != 0 {
		t.Errorf("exit code %d", code)
	}
}
