// Package clienttest drives the real Socket.IO clients of npm, 4.x and 2.x, from Go tests.
package clienttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"rollcall/internal/storetest"
)

// patience is how long anything that a test waits for may take.
const patience = 10 * time.Second

// Driver is a Node process that holds clients. It is safe for concurrent use; methods that take a testing.TB
// end the test when they fail, so they belong into its goroutine.
type Driver struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr bytes.Buffer  // to be read only when done is closed
	done   chan struct{} // closed when the process has ended

	write sync.Mutex // guards writing to stdin; not mu, which read needs to make room for what the process writes

	mu      sync.Mutex // guards all below
	next    int
	replies map[int]chan reply
	clients map[string]*Client
}

// reply is what the driver answers to a command.
type reply struct {
	N      int               `json:"n"`
	Error  string            `json:"error"`
	Answer []json.RawMessage `json:"answer"`
}

// Start runs a driver until t ends; its clients are gone then. It fails t when Node or the clients are not
// installed.
func Start(t testing.TB) *Driver {
	t.Helper()
	root, err := storetest.Root()
	if err != nil {
		t.Fatalf("start Socket.IO clients: %v", err)
	}
	dir := filepath.Join(root, "test", "clients")
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal("the Socket.IO clients are not installed: run make deps")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("node is not installed: install Node.js 20, then run make deps")
	}
	d := &Driver{cmd: exec.Command(node, "driver.mjs"), done: make(chan struct{}), replies: map[int]chan reply{}, clients: map[string]*Client{}}
	d.cmd.Dir, d.cmd.Stderr = dir, &d.stderr
	if d.stdin, err = d.cmd.StdinPipe(); err != nil {
		t.Fatalf("start Socket.IO clients: %v", err)
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("start Socket.IO clients: %v", err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatalf("start Socket.IO clients: %v", err)
	}
	go d.read(out)
	t.Cleanup(func() { d.stop(t) })
	return d
}

// stop ends the process by closing its input, or by force if it does not heed that.
func (d *Driver) stop(t testing.TB) {
	_ = d.stdin.Close()
	select {
	case <-d.done:
	case <-time.After(patience):
		_ = d.cmd.Process.Kill()
		<-d.done
	}
	if d.stderr.Len() > 0 {
		t.Errorf("the Socket.IO clients complained:\n%s", d.stderr.String())
	}
}

// read hands every line of the driver to whom it is for, until the process ends.
func (d *Driver) read(out io.Reader) {
	lines := json.NewDecoder(out)
	for {
		var line struct {
			reply
			Event
			ID string `json:"id"`
		}
		if err := lines.Decode(&line); err != nil {
			break
		}
		d.mu.Lock()
		waiting, c := d.replies[line.N], d.clients[line.ID]
		delete(d.replies, line.N)
		d.mu.Unlock()
		if waiting != nil {
			waiting <- line.reply
		}
		if c != nil {
			c.record(line.Event)
		}
	}
	_, _ = io.Copy(io.Discard, out) // after a line that is no JSON, so that the process can end
	_ = d.cmd.Wait()
	close(d.done)
}

// do sends a command and waits for the answer.
func (d *Driver) do(t testing.TB, name string, args map[string]any) reply {
	t.Helper()
	answer, err := d.send(name, args)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	select {
	case r := <-answer:
		if r.Error != "" {
			t.Fatalf("%s %v: %s", name, args["id"], r.Error)
		}
		return r
	case <-d.done:
		t.Fatalf("%s: the driver has ended:\n%s", name, d.stderr.String())
	case <-time.After(patience + time.Second): // the driver's own bounds are shorter and say more
		t.Fatalf("%s %v: the driver does not answer", name, args["id"])
	}
	return reply{}
}

func (d *Driver) send(name string, args map[string]any) (<-chan reply, error) {
	answer := make(chan reply, 1)
	d.mu.Lock()
	d.next++
	args["n"], args["do"] = d.next, name
	d.replies[d.next] = answer
	d.mu.Unlock()
	line, err := json.Marshal(args)
	if err != nil {
		return nil, fmt.Errorf("encode command: %w", err)
	}
	d.write.Lock()
	defer d.write.Unlock()
	if _, err := d.stdin.Write(append(line, '\n')); err != nil {
		return nil, fmt.Errorf("write to driver: %w", err)
	}
	return answer, nil
}
