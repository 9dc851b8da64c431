// Package system_test tries the whole service as its users do: the real program as a process, on real databases and
// a real Redis, with real clients.
package system_test

import (
	"bufio"
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/glebarez/go-sqlite"
	_ "github.com/go-sql-driver/mysql"

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
		for _, args := range [][]string{{"-race", "-o", raced}, {"-o", quick}} {
			build := exec.Command("go", append(append([]string{"build"}, args...), "rollcall/cmd/server")...)
			build.Stdout, build.Stderr = os.Stderr, os.Stderr
			if err := build.Run(); err != nil {
				fmt.Fprintln(os.Stderr, "build the server:", err)
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
	cmd  *exec.Cmd
	base string // http://127.0.0.1:port
	env  []string
	db   store.Config
	key  string // of REST, that call sends unless it is told otherwise; "" in auth.mode none
	file string // config.yaml but for webhooks
	told string // webhooks of config.yaml

	mu   sync.Mutex // guards log
	log  bytes.Buffer
	done chan struct{} // closed when the process has ended
	err  error         // how it ended; valid when done is closed
}

// settings are keys of the configuration, as environment variables. "build": "quick" takes the program without the race
// detector. "auth": "jwt" locks the doors: tokens of server.token come in, and REST wants one of the keys in secrets_test.go.
type settings map[string]string

// launch starts the program on a fresh database of the dialect; on MariaDB as a user with a password, and with the real
// Redis too.
func launch(t *testing.T, dialect string, extra settings) *server {
	t.Helper()
	s := &server{t: t, db: storetest.DSN(t, dialect), path: raced}
	all := settings{"database.driver": s.db.Driver, "database.dsn": s.db.DSN, "http.addr": "127.0.0.1:0", "shutdown.drain": "1s"}
	if dialect == store.MySQL {
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
	for k, v := range all {
		s.env = append(s.env, "ROLLCALL_"+strings.ToUpper(strings.ReplaceAll(k, ".", "_"))+"="+v)
	}
	s.start()
	return s
}

var opened = regexp.MustCompile(`rollcall is open.*ready(?:=|":")(http://[^ /]+)/readyz`)

// start runs the process, on the port it had before if it had one, and waits until it is open.
func (s *server) start() {
	s.t.Helper()
	s.done = make(chan struct{})
	cmd := exec.Command(s.path)
	cmd.Dir = s.t.TempDir()
	if err := os.WriteFile(filepath.Join(cmd.Dir, "config.yaml"), []byte(s.file+s.told), 0o600); err != nil {
		s.t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), s.env...)
	if s.base != "" {
		cmd.Env = append(cmd.Env, "ROLLCALL_HTTP_ADDR="+strings.TrimPrefix(s.base, "http://"))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd.Stdout = cmd.Stderr // nothing is expected there, and it would be no better a place for a secret
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.cmd = cmd
	open := make(chan string, 1)
	go s.read(cmd, stderr, open)
	select {
	case s.base = <-open:
	case <-s.done:
		s.t.Fatalf("the server ended at once: %v\n%s", s.err, tail(s.logged(), 6000))
	case <-time.After(60 * time.Second):
		s.t.Fatalf("the server did not open:\n%s", tail(s.logged(), 6000))
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

func (s *server) read(cmd *exec.Cmd, stderr io.Reader, open chan<- string) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		s.mu.Lock()
		s.log.WriteString(lines.Text() + "\n")
		s.mu.Unlock()
		if m := opened.FindStringSubmatch(lines.Text()); m != nil {
			open <- m[1]
		}
	}
	s.err = cmd.Wait()
	close(s.done)
}

func (s *server) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// kill is kill -9.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// stop is a planned stop; the process must end by itself and without an error.
func (s *server) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.done:
		if s.err != nil {
			s.t.Fatalf("the server stopped with %v\n%s", s.err, tail(s.logged(), 4000))
		}
	case <-time.After(30 * time.Second):
		s.t.Fatalf("the server did not stop\n%s", tail(s.logged(), 4000))
	}
}

// call sends a request to the API and decodes the answer into out, which may be nil. It returns status and headers.
func (s *server) call(method, path string, body any, out any, headers ...string) (int, http.Header) {
	s.t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			s.t.Fatal(err)
		}
		r = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, s.base+path, r)
	if err != nil {
		s.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if s.key != "" {
		req.Header.Set("Authorization", "Bearer "+s.key)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if req.Header.Set(headers[i], headers[i+1]); headers[i+1] == "" {
			req.Header.Del(headers[i]) // such as Authorization
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	s.keepsSecrets("the answer to "+method+" "+path, string(text))
	if raw, ok := out.(*string); ok {
		*raw = string(text)
	} else if out != nil && len(text) > 0 {
		if err := json.Unmarshal(text, out); err != nil {
			s.t.Fatalf("%s %s answered %d %q: %v", method, path, resp.StatusCode, text, err)
		}
	}
	return resp.StatusCode, resp.Header
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
	for _, line := range strings.Split(text, "\n") {
		var v float64
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			if _, err := fmt.Sscan(rest, &v); err == nil {
				return v
			}
		}
	}
	s.t.Fatalf("there is no metric %s", name)
	return 0
}
