package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rollcall/internal/auth"
)

// lines gathers what is written, for a test to look at meanwhile.
type lines struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String implements fmt.Stringer.
func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// inChild is set in a process that is to be the program itself.
const inChild = "ROLLCALL_TEST_CHILD"

// TestMain lets the test binary be the program, so that a process of its own, with all that libraries print, can be
// looked at.
func TestMain(m *testing.M) {
	if os.Getenv(inChild) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// child is the program as a process.
type child struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  lines
	addr string
	read chan struct{} // closed when all of standard error was read
}

// launch starts the program with a log in JSON and waits until it is open.
func launch(t *testing.T, config string, args ...string) *child {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"serve", "-config", file, "-http.addr", "127.0.0.1:0", "-database.dsn", filepath.Join(dir, "r.db"), "-shutdown.drain", "0s", "-log.format", "json", "-log.level", "debug"}, args...)
	c := &child{t: t, cmd: exec.Command(program, args...), read: make(chan struct{})}
	c.cmd.Dir = dir
	c.cmd.Env = append(os.Environ(), inChild+"=1", "DEBUG=*") // with DEBUG the Socket.IO library would like to talk
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.cmd.Process.Kill(); <-c.read; _ = c.cmd.Wait() })
	open := make(chan string, 1)
	go func() {
		defer close(c.read)
		for s := bufio.NewScanner(io.TeeReader(stderr, &c.log)); s.Scan(); {
			var line struct{ Msg, Ready string }
			if json.Unmarshal(s.Bytes(), &line) == nil && line.Msg == "rollcall is open" {
				open <- strings.TrimSuffix(strings.TrimPrefix(line.Ready, "http://"), "/readyz")
			}
		}
	}()
	select {
	case c.addr = <-open:
	case <-c.read:
		t.Fatalf("it did not open:\n%s", &c.log)
	case <-time.After(30 * time.Second):
		t.Fatalf("it does not open:\n%s", &c.log)
	}
	return c
}

// stop ends the process as an operator does and returns its exit code.
func (c *child) stop() int {
	c.t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		c.t.Fatal(err)
	}
	<-c.read
	_ = c.cmd.Wait()
	return c.cmd.ProcessState.ExitCode()
}

// say sends something over a connection of its own and returns what came within the time it takes to answer.
func (c *child) say(text string) string {
	c.t.Helper()
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(300 * time.Millisecond))
	_, _ = io.WriteString(conn, text)
	answer := make([]byte, 4096)
	n, _ := conn.Read(answer)
	return string(answer[:n])
}

// Whatever comes in over the network, each line of the log is a JSON object: no library prints beside it, and nobody
// writes a line of his own into it. Redis is configured and away, which its client would like to talk about.
func TestLogIsJSON(t *testing.T) {
	c := launch(t, "redis: {addr: '127.0.0.1:1'}\n")
	const host = " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
	for _, p := range payloads {
		visible := strings.NewReplacer("\r", "%0d", "\n", "%0a", "\x00", "%00", " ", "%20", "\x1b", "%1b", "\x07", "%07", "\v", "%0b", "\f", "%0c", "\x7f", "%7f", "\"", "%22").Replace(p)
		c.say("GET /" + visible + "?q=" + visible + host + "User-Agent: " + p + "\r\nX-Forwarded-For: " + p + "\r\n\r\n")
		c.say("POST /api/v1/users" + host + "Content-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"" + p + "\":" + p)
		c.say("GET /socket.io/?EIO=4&transport=polling&userId=" + visible + host + "\r\n")
	}
	c.say("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")                                                           // TLS where there is none
	c.say("GET /socket.io/?EIO=4&transport=websocket" + host + "Upgrade: websocket\r\nConnection: upgrade\r\n\r\n") // and no key
	c.say("GET /socket.io/?EIO=4&transport=websocket" + host + "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\xff\xff\xff")
	c.say(strings.Repeat("x", 1<<20))
	many := `{"users":[` + strings.Repeat(`{"id":1.5,"nam":{}},`, 5000) + `{}]}`
	c.say("POST /api/v1/users" + host + "Content-Type: application/json\r\n\r\n" + many) // goes before it has read what is wrong
	if code := c.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	log := strings.Split(strings.TrimSpace(c.log.String()), "\n")
	for _, line := range log {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil || object["msg"] == nil || object["level"] == nil {
			t.Errorf("no line of the log: %q", line)
		}
		if object["msg"] == "printed by a library" || object["level"] == "ERROR" {
			t.Errorf("said: %s", line)
		}
	}
	if len(log) < 10 {
		t.Errorf("only %d lines", len(log))
	}
}

// With the doors locked the service says what it believes, and what is missing, but not a secret.
func TestLockedProcess(t *testing.T) {
	const secret = "pl4nted-0123456789-0123456789-0123456789"
	key, hash := auth.NewKey()
	c := launch(t, "auth:\n  mode: jwt\n  hs256_secret: "+secret+"\n  api_keys:\n  - {name: board, role: viewer, sha256: "+hash+"}\n", "-auth.allow_query_token", "true", "-http.allowed_origins", "*", "-debug.pprof", "true")
	for path, want := range map[string]int{"/healthz": 200, "/metrics": 401, "/api/v1/nodes": 401, "/debug/pprof/": 401, "/docs": 200} {
		for _, authorized := range []bool{false, true} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.addr+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			want := want
			if authorized {
				r.Header.Set("Authorization", "Bearer "+key)
				if want = 200; path == "/debug/pprof/" {
					want = 403
				}
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != want || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s, with a key %v: %s, want %d", path, authorized, resp.Status, want)
			}
		}
	}
	if code := c.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	log := c.log.String()
	for _, want := range []string{`"tokens":["hs256_secret"]`, `"api_keys":1`, "auth.allow_query_token is on", "http.allowed_origins has *"} {
		if !strings.Contains(log, want) {
			t.Errorf("%s is not in %s", want, log)
		}
	}
	for _, no := range []string{"pl4nted", key, hash, "auth.mode is none", "auth.api_keys is empty"} {
		if strings.Contains(log, no) {
			t.Errorf("%s is in the log", no)
		}
	}
}

// A service that cannot go on says so in its log, too.
func TestFailureIsInTheLog(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	code, _, stderr := call(t, "serve", "-http.addr", busy.Addr().String(), "-log.format", "json", "-database.dsn", filepath.Join(t.TempDir(), "r.db"))
	var line struct{ Level, Error string }
	if err := json.Unmarshal([]byte(stderr), &line); err != nil || code != 1 || line.Level != "ERROR" || !strings.Contains(line.Error, "listen on http.addr") {
		t.Errorf("exit code %d, said %q", code, stderr)
	}
}
