// Package system_test tries the whole service as its users do: the real program as a process, on real databases and
// a real Redis, with real clients.
package system_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/glebarez/go-sqlite"
	_ "github.com/go-sql-driver/mysql"

	"rollcall/internal/servertest"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// The program, built once with the race detector, and once without it for what is about time.
var raced, quick string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if task := os.Getenv(abuserVar); task != "" {
			return abuse(task) // a process of TestAbuse
		}
		dir, err := os.MkdirTemp("", "rollcall-system-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		raced, quick = filepath.Join(dir, "server-race"), filepath.Join(dir, "server")
		for path, race := range map[string]bool{raced: true, quick: false} {
			if err := servertest.Build(path, race); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
		return m.Run()
	}())
}

// server is one running process of the program.
type server struct {
	t    *testing.T
	path string // of the program
	proc *servertest.Process
	base string // http://127.0.0.1:port
	env  []string
	db   store.Config
	key  string // of REST, that call sends unless it is told otherwise; "" in auth.mode none
	file string // config.yaml but for webhooks
	told string // webhooks of config.yaml

	log servertest.Log // of all its processes
}

// settings are keys of the configuration, as environment variables. "build": "quick" takes the program without the race
// detector. "auth": "jwt" locks the doors: tokens of server.token come in, and REST wants one of the keys in secrets_test.go.
type settings map[string]string

// launch starts the program on a fresh database of the dialect; on MariaDB as a user with a password, and with the real
// Redis too.
func launch(t *testing.T, dialect string, extra settings) *server {
	t.Helper()
	s := &server{t: t}
	s.launchOn(storetest.DSN(t, dialect), extra)
	return s
}

// launchOn is launch on a database that is there.
func (s *server) launchOn(db store.Config, extra settings) {
	t := s.t
	t.Helper()
	s.db, s.path = db, raced
	all := settings{"database.driver": s.db.Driver, "database.dsn": s.db.DSN, "http.addr": "127.0.0.1:0", "shutdown.drain": "1s"}
	if db.Driver == store.MySQL {
		all["database.dsn"] = s.withPassword()
		all["redis.addr"], all["redis.prefix"] = storetest.RedisAddr(t), storetest.Prefix(t)
	}
	if extra["auth"] == "jwt" {
		s.key, s.file = adminKey, apiKeys()
		all["auth.mode"], all["auth.hs256_secret"] = "jwt", tokenSecret
	}
	for k, v := range extra {
		all[k] = v
	}
	if all["build"] == "quick" {
		s.path = quick
	}
	delete(all, "build")
	delete(all, "auth")
	s.env = servertest.Env(all)
	s.start()
}

// start runs the process, on the port it had before if it had one, and waits until it is open.
func (s *server) start() {
	s.t.Helper()
	dir, env := s.t.TempDir(), s.env
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(s.file+s.told), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if s.base != "" {
		env = append(slices.Clip(env), "ROLLCALL_HTTP_ADDR="+strings.TrimPrefix(s.base, "http://"))
	}
	var err error
	if s.proc, err = servertest.Start(servertest.Run{Path: s.path, Dir: dir, Env: env, Log: &s.log}); err != nil {
		s.t.Fatal(err)
	}
	if s.base, err = s.proc.Open(60 * time.Second); err != nil {
		s.t.Fatalf("%v\n%s", err, tail(s.logged(), 6000))
	}
	s.t.Cleanup(func() {
		s.kill()
		s.keepsSecrets("the log", s.logged())
		if log := s.logged(); strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic") {
			s.t.Errorf("the server's log holds a race or a panic:\n%s", tail(log, 1<<20))
		} else if s.t.Failed() {
			s.t.Logf("the server's log:\n%s", tail(log, 6000))
		}
	})
}

// tail returns the end of a log for somebody to read, without secrets should there be any.
func tail(s string, n int) string { return leaks.ReplaceAllString(s[max(0, len(s)-n):], "<secret>") }

func (s *server) logged() string { return s.log.String() }

// kill is kill -9.
func (s *server) kill() { s.proc.Kill() }

// stop is a planned stop; the process must end by itself and without an error.
func (s *server) stop() {
	s.t.Helper()
	if err := s.proc.Stop(30 * time.Second); err != nil {
		s.t.Fatalf("the server stopped with %v\n%s", err, tail(s.logged(), 4000))
	}
}

// call sends a request to the API and decodes the answer into out, which may be nil. It returns status and headers.
func (s *server) call(method, path string, body any, out any, headers ...string) (int, http.Header) {
	s.t.Helper()
	if s.key != "" {
		headers = append([]string{"Authorization", "Bearer " + s.key}, headers...)
	}
	answer, err := servertest.Call(context.Background(), method, s.base+path, body, headers...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	text := answer.Body
	s.keepsSecrets("the answer to "+method+" "+path, string(text))
	if raw, ok := out.(*string); ok {
		*raw = string(text)
	} else if out != nil && len(text) > 0 {
		if err := json.Unmarshal(text, out); err != nil {
			s.t.Fatalf("%s %s answered %d %q: %v", method, path, answer.Status, text, err)
		}
	}
	return answer.Status, answer.Header
}

// must is call for what has to succeed.
func (s *server) must(method, path string, body any, out any, headers ...string) {
	s.t.Helper()
	var raw string
	status, _ := s.call(method, path, body, &raw, headers...)
	if status >= 300 {
		s.t.Fatalf("%s %s answered %d %s", method, path, status, raw)
	}
	if out != nil {
		if err := json.Unmarshal([]byte(raw), out); err != nil {
			s.t.Fatalf("%s %s answered %q: %v", method, path, raw, err)
		}
	}
}

// pool opens the database beside the server, as a backend or an administrator does.
func (s *server) pool() *sql.DB {
	s.t.Helper()
	name, dsn := "mysql", s.db.DSN
	if s.db.Driver == store.SQLite {
		name, dsn = "sqlite", "file:"+s.db.DSN+"?_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(name, dsn)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = db.Close() })
	return db
}

// metric returns the value of a metric without labels.
func (s *server) metric(name string) float64 {
	s.t.Helper()
	var text string
	s.call("GET", "/metrics", nil, &text)
	if v, ok := servertest.Metric(text, name); ok {
		return v
	}
	s.t.Fatalf("there is no metric %s", name)
	return 0
}
