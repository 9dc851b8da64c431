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
var binary, quick string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "rollcall-system-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary, quick = filepath.Join(dir, "server-race"), filepath.Join(dir, "server")
		for _, args := range [][]string{{"-race", "-o", binary}, {"-o", quick}} {
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

	mu   sync.Mutex // guards log
	log  bytes.Buffer
	done chan struct{} // closed when the process has ended
	err  error         // how it ended; valid when done is closed
}

// settings are keys of the configuration, as environment variables. "build": "quick" takes the program without the race
// detector.
type settings map[string]string

// launch starts the program on a fresh database of the dialect; on MariaDB with the real Redis too.
func launch(t *testing.T, dialect string, extra settings) *server {
	t.Helper()
	db := storetest.DSN(t, dialect)
	all := settings{"database.driver": db.Driver, "database.dsn": db.DSN, "http.addr": "127.0.0.1:0", "shutdown.drain": "1s"}
	if dialect == store.MySQL {
		all["redis.addr"], all["redis.prefix"] = storetest.RedisAddr(t), storetest.Prefix(t)
	}
	for k, v := range extra {
		all[k] = v
	}
	s := &server{t: t, db: db, path: binary}
	if all["build"] == "quick" {
		s.path = quick
	}
	delete(all, "build")
	for k, v := range all {
		s.env = append(s.env, "ROLLCALL_"+strings.ToUpper(strings.ReplaceAll(k, ".", "_"))+"="+v)
	}
	s.start()
	return s
}

var opened = regexp.MustCompile(`rollcall is open.* ready=(http://[^ /]+)/readyz`)

// start runs the process, on the port it had before if it had one, and waits until it is open.
func (s *server) start() {
	s.t.Helper()
	s.done = make(chan struct{})
	cmd := exec.Command(s.path)
	cmd.Dir = s.t.TempDir()
	cmd.Env = append(os.Environ(), s.env...)
	if s.base != "" {
		cmd.Env = append(cmd.Env, "ROLLCALL_HTTP_ADDR="+strings.TrimPrefix(s.base, "http://"))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.cmd = cmd
	open := make(chan string, 1)
	go s.read(cmd, stderr, open)
	select {
	case s.base = <-open:
	case <-s.done:
		s.t.Fatalf("the server ended at once: %v\n%s", s.err, s.logged())
	case <-time.After(60 * time.Second):
		s.t.Fatalf("the server did not open:\n%s", s.logged())
	}
	s.t.Cleanup(func() {
		s.kill()
		if log := s.logged(); strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic") {
			s.t.Errorf("the server's log holds a race or a panic:\n%s", log)
		} else if s.t.Failed() {
			s.t.Logf("the server's log:\n%s", tail(log, 6000))
		}
	})
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

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
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
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
