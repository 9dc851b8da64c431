package examples_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/internal/clienttest"
	"rollcall/internal/storetest"
)

// Whoever types what docs/getting-started.md says gets what it says.
func TestGettingStarted(t *testing.T) {
	g, driver := newGuide(t), clienttest.Start(t)
	enter := func(user, token string) *clienttest.Client {
		o := clienttest.Options{URL: g.base, Query: map[string]string{"conferenceId": "42"}, Reconnect: true, AutoAck: true}
		if user != "" {
			o.Query["userId"] = user
		}
		if token != "" {
			o.Auth = map[string]any{"token": token}
		}
		return driver.Open(t, o)
	}

	g.do("See a meeting")
	anna := enter("anna", "")
	anna.WaitConnect(t)

	said := g.do("The first call of the backend")
	titled(t, anna, "Budget")
	anna.Wait(t, "notice", func(args []json.RawMessage) bool { return strings.Contains(string(args[0]), "Lunch") })
	for _, want := range []string{`"changed":["topicInfo"]`, `"audience":2,"online":1,"queued":1`, `"title":"Lunch"`, `"kind":"session.opened"`} {
		if !strings.Contains(said, want) {
			t.Errorf("the first calls do not show %s:\n%s", want, said)
		}
	}

	g.do("The first webhook")
	anna.WaitConnect(t) // by herself, to the new server
	ben := enter("ben", "")
	ben.WaitConnect(t)
	told := filepath.Join(g.dir, "listen.txt")
	storetest.EventuallyWithin(t, 30*time.Second, func() bool {
		text, _ := os.ReadFile(told)
		return strings.Contains(string(text), `"presence.online"`) && strings.Contains(string(text), `"userId":"ben"`)
	}, "the backend hears that ben came")

	said = g.do("Lock it")
	for !strings.Contains(string(anna.WaitError(t).Data), "unauthorized") { // before that, that nobody answered
	}
	if !strings.Contains(said, "the configuration is valid") {
		t.Errorf("check said %s", leaks.ReplaceAllString(said, "<secret>"))
	}
	keyless := g.enter("RC_API_KEY= examples/curl/backend.sh tree 42 '{}' || echo refused")
	if !strings.Contains(keyless, "401 {") || !strings.Contains(keyless, "refused") {
		t.Errorf("without a key the backend is told %s", keyless)
	}
	address := regexp.MustCompile(`http://\S+#token=(\S+)`).FindStringSubmatch(said)
	if address == nil {
		t.Fatal("no address with a token was printed")
	}
	again := enter("", address[1])
	again.WaitConnect(t)
	titled(t, again, "Behind locked doors")
}

// titled waits until a client sees the tree with this title.
func titled(t *testing.T, c *clienttest.Client, title string) {
	t.Helper()
	c.Wait(t, "note_tree", func(args []json.RawMessage) bool { return strings.Contains(string(args[0]), title) })
}

// guide types what docs/getting-started.md says into one shell, section by section.
type guide struct {
	t     *testing.T
	dir   string // where it is typed
	base  string // of the server, in the place of port 8080
	text  string
	stdin io.Writer
	lines chan string // closed when the shell has ended
	done  int         // blocks
}

// prelude starts the server as the reader does in a terminal of its own, ends the one before, and waits until it serves.
const prelude = `set -euo pipefail
serve() {
	if [[ -n ${server:-} ]]; then kill "$server"; wait "$server"; fi
	"$SERVER" 2>>server.txt & server=$!
	curl -s -o ready.txt --retry 30 --retry-all-errors --retry-delay 1 -f "$RC_URL/readyz"
}
`

func newGuide(t *testing.T) *guide {
	t.Helper()
	root, err := storetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "getting-started.md"))
	if err != nil {
		t.Fatal(err)
	}
	address, listen := freeAddress(t), freeAddress(t)
	g := &guide{t: t, dir: t.TempDir(), base: "http://" + address, lines: make(chan string, 1000)}
	g.text = strings.NewReplacer("127.0.0.1:8080", address, "127.0.0.1:8000", listen).Replace(string(text))
	if err := os.Symlink(filepath.Join(root, "examples"), filepath.Join(g.dir, "examples")); err != nil {
		t.Fatal(err)
	}
	shell := exec.Command("bash")
	shell.Dir = g.dir
	shell.Env = append(os.Environ(), "SERVER="+serverPath, "ROLLCALL_HTTP_ADDR="+address, "ROLLCALL_SHUTDOWN_DRAIN=0s", "RC_URL="+g.base, "RC_LISTEN="+listen)
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, in := io.Pipe()
	shell.Stdout, shell.Stderr, shell.WaitDelay = in, in, time.Second
	if g.stdin, err = shell.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // until the shell ends
		_ = shell.Wait()
		_ = in.Close()
	}()
	go func() { // the same
		defer close(g.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			g.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) // with the server and the backend
		for range g.lines {
		}
	})
	g.enter(prelude)
	return g
}

var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// do types all commands of a section, and returns what they said.
func (g *guide) do(section string) (said string) {
	g.t.Helper()
	_, rest, ok := strings.Cut(g.text, "\n## "+section+"\n")
	if !ok {
		g.t.Fatalf("there is no section %q", section)
	}
	body, _, _ := strings.Cut(rest, "\n## ")
	for _, block := range shellBlock.FindAllStringSubmatch(body, -1) {
		said += g.enter(forTest(block[1]))
	}
	return said
}

// forTest lets go on in the background what the reader runs in a terminal of its own, and takes the server that is built already.
func forTest(block string) string {
	block = regexp.MustCompile(`(?m)^make web$`).ReplaceAllString(block, "")
	block = regexp.MustCompile(`(?m)^go run \./cmd/server$`).ReplaceAllString(block, "serve")
	block = regexp.MustCompile(`(?m)^(.* listen)$`).ReplaceAllString(block, "$1 >listen.txt 2>&1 &")
	return strings.ReplaceAll(block, "go run ./cmd/server", `"$SERVER"`)
}

// enter runs commands and returns what they said. One that fails ends the shell, and the test.
func (g *guide) enter(commands string) (said string) {
	g.t.Helper()
	g.done++
	end := fmt.Sprintf("done-with-%d", g.done)
	if _, err := fmt.Fprintf(g.stdin, "%s\necho %s\n", commands, end); err != nil {
		g.t.Fatal(err)
	}
	timeout := time.After(60 * time.Second)
	for {
		select {
		case line, open := <-g.lines:
			if !open {
				g.t.Fatalf("this failed:\n%s\n%s", commands, leaks.ReplaceAllString(said, "<secret>"))
			}
			if line == end {
				return said
			}
			said += line + "\n"
		case <-timeout:
			g.t.Fatalf("this does not end:\n%s\n%s", commands, leaks.ReplaceAllString(said, "<secret>"))
		}
	}
}
