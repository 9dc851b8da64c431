package system_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/storetest"
)

// page is a client of one of the six systems: a program of test/clients that shows what it sees and does what its user
// does. It is written as that system's own clients are, and knows nothing of this service.
type page struct {
	t      *testing.T
	name   string
	stdin  io.WriteCloser
	stderr bytes.Buffer // to be read only when done is closed
	done   chan struct{}

	mu    sync.Mutex // guards the rest
	shown []sight
	after map[string]int // per kind of sight, the index in shown after the last one that sees returned
}

// sight is one thing that a page shows.
type sight struct {
	Saw  string            `json:"saw"`
	Args []json.RawMessage `json:"args"`
}

// patience is how long a page may take to show something: it may have to come back first.
const patience = 30 * time.Second

// page opens one, test/clients/{program}.mjs with the server's address and the arguments, and waits until it is connected.
// It is closed when the test ends.
func (s *server) page(program string, args ...string) *page {
	s.t.Helper()
	root, err := storetest.Root()
	if err != nil {
		s.t.Fatal(err)
	}
	p := &page{t: s.t, name: program + " " + strings.Join(args, " "), done: make(chan struct{}), after: map[string]int{}}
	cmd := exec.Command("node", append([]string{program + ".mjs", s.base}, args...)...)
	cmd.Dir, cmd.Stderr = filepath.Join(root, "test", "clients"), &p.stderr
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		s.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("start a page: %v: run make deps", err)
	}
	go func() {
		defer close(p.done)
		p.read(out)
		_ = cmd.Wait()
	}()
	s.t.Cleanup(func() { p.close(cmd) })
	p.sees("connect")
	return p
}

// read notes what the page shows, until it is closed.
func (p *page) read(out io.Reader) {
	lines := json.NewDecoder(out)
	for {
		var s sight
		if lines.Decode(&s) != nil {
			_, _ = io.Copy(io.Discard, out) // after a line that is no JSON, so that the program can end
			return
		}
		p.mu.Lock()
		p.shown = append(p.shown, s)
		p.mu.Unlock()
	}
}

func (p *page) close(cmd *exec.Cmd) {
	_ = p.stdin.Close()
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		<-p.done
	}
	if p.stderr.Len() > 0 {
		p.t.Errorf("the page %s complained:\n%s", p.name, p.stderr.String())
	}
}

// shut closes the page as a user does who closes its tab, without a good-bye.
func (p *page) shut() {
	_ = p.stdin.Close()
	<-p.done
}

// do lets the user do something; more are names and values.
func (p *page) do(deed string, more ...any) {
	p.t.Helper()
	line := map[string]any{"do": deed}
	for i := 0; i+1 < len(more); i += 2 {
		line[more[i].(string)] = more[i+1]
	}
	text, err := json.Marshal(line)
	if err == nil {
		_, err = p.stdin.Write(append(text, '\n'))
	}
	if err != nil {
		p.t.Fatalf("%s on page %s: %v", deed, p.name, err)
	}
}

// sees waits for the next sight of a kind whose arguments hold all the fragments, and returns them. Those before it count
// as seen.
func (p *page) sees(what string, fragments ...string) []json.RawMessage {
	p.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if args, ok := p.next(what, fragments); ok {
			return args
		}
		select {
		case <-tick.C:
		case <-p.done:
			p.t.Fatalf("the page %s has ended:\n%s", p.name, p.stderr.String())
		case <-deadline:
			p.t.Fatalf("the page %s never saw %s %q; it saw:\n%s", p.name, what, fragments, p.story())
		}
	}
}

func (p *page) next(what string, fragments []string) (args []json.RawMessage, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := p.after[what]; i < len(p.shown); i++ {
		if s := p.shown[i]; s.Saw == what && s.holds(fragments) {
			p.after[what] = i + 1
			return s.Args, true
		}
	}
	return nil, false
}

// holds reports whether each fragment is in the text of the arguments.
func (s sight) holds(fragments []string) bool {
	all := fmt.Sprintf("%s", s.Args)
	for _, f := range fragments {
		if !strings.Contains(all, f) {
			return false
		}
	}
	return true
}

// count returns how often the page saw something with all the fragments, so far.
func (p *page) count(what string, fragments ...string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, s := range p.shown {
		if s.Saw == what && s.holds(fragments) {
			n++
		}
	}
	return n
}

// story tells what the page saw last.
func (p *page) story() string {
	const last, width = 20, 400
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	for _, s := range p.shown[max(0, len(p.shown)-last):] {
		fmt.Fprintf(&b, "  %.*s\n", width, fmt.Sprintf("%s %s", s.Saw, s.Args))
	}
	return b.String()
}
