package system_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"rollcall/internal/storetest"
)

// browser is a real Chromium without a window, with one page. It is told what to do over a pipe, in the DevTools protocol.
type browser struct {
	t  *testing.T
	to io.Writer

	mu      sync.Mutex // guards the rest
	page    string     // session of the protocol
	next    int
	answers map[int]chan message
	heard   []message
	ended   bool
}

// message is a message of the browser: an answer, or something that happened.
type message struct {
	ID     int
	Method string
	Params json.RawMessage
	Result json.RawMessage
	Error  *struct{ Message string }
}

// newBrowser starts one. Every request that it makes carries the headers.
func newBrowser(t *testing.T, headers map[string]string) *browser {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is not installed: run make deps")
	}
	in, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--user-data-dir="+t.TempDir(), "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--no-default-browser-check", "--disable-background-networking", "--disable-component-update", "--disable-extensions", "about:blank")
	cmd.ExtraFiles = []*os.File{in, out} // 3 and 4, as the protocol has it
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	_, _ = in.Close(), out.Close()
	b := &browser{t: t, to: to, answers: map[int]chan message{}}
	go b.read(from)
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it is several processes
		_ = cmd.Wait()
		_ = to.Close()
	})
	var target struct{ TargetID, SessionID string }
	b.do("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	b.do("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &target)
	b.mu.Lock()
	b.page = target.SessionID
	b.mu.Unlock()
	for _, domain := range []string{"Page.enable", "Network.enable", "Runtime.enable"} {
		b.do(domain, nil, nil)
	}
	b.do("Network.setExtraHTTPHeaders", map[string]any{"headers": headers}, nil)
	return b
}

// read takes what the browser says, a NUL behind each message, until it is gone.
func (b *browser) read(from io.ReadCloser) {
	defer from.Close()
	messages := bufio.NewReader(from)
	for {
		text, err := messages.ReadBytes(0)
		if err != nil {
			b.mu.Lock()
			b.ended = true
			b.mu.Unlock()
			return
		}
		var m message
		if json.Unmarshal(text[:len(text)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		if waiting := b.answers[m.ID]; waiting != nil {
			waiting <- m
			delete(b.answers, m.ID)
		} else {
			b.heard = append(b.heard, m)
		}
		b.mu.Unlock()
		if m.Method == "Page.javascriptDialogOpening" { // or the page would wait for somebody
			go b.send("Page.handleJavaScriptDialog", map[string]any{"accept": false})
		}
	}
}

func (b *browser) send(method string, params any) chan message {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	line := map[string]any{"id": b.next, "method": method, "params": params}
	if params == nil {
		line["params"] = struct{}{}
	}
	if b.page != "" {
		line["sessionId"] = b.page
	}
	answer := make(chan message, 1)
	b.answers[b.next] = answer
	if text, err := json.Marshal(line); err == nil {
		_, _ = b.to.Write(append(text, 0))
	}
	return answer
}

// do sends a command and waits for its result.
func (b *browser) do(method string, params, result any) {
	b.t.Helper()
	select {
	case m := <-b.send(method, params):
		if m.Error != nil {
			b.t.Fatalf("the browser: %s: %s", method, m.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(m.Result, result); err != nil {
				b.t.Fatalf("the browser: %s: %v", method, err)
			}
		}
	case <-time.After(patience):
		b.t.Fatalf("the browser does not answer %s", method)
	}
}

// happened returns what the browser told of one kind so far.
func (b *browser) happened(method string) (list []message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		b.t.Fatal("the browser is gone")
	}
	for _, m := range b.heard {
		if m.Method == method {
			list = append(list, m)
		}
	}
	return list
}

func (b *browser) count(method string) int { return len(b.happened(method)) }

// visit opens an address and waits until all of it is there. It reports false if that is no page but a file to keep.
func (b *browser) visit(address string) bool {
	b.t.Helper()
	before := b.count("Page.loadEventFired")
	var where struct{ ErrorText string }
	b.do("Page.navigate", map[string]any{"url": address}, &where)
	if where.ErrorText == "net::ERR_ABORTED" {
		return false
	}
	if where.ErrorText != "" {
		b.t.Fatalf("the browser cannot open %.100s: %s", address, where.ErrorText)
	}
	storetest.EventuallyWithin(b.t, patience, func() bool { return b.count("Page.loadEventFired") > before }, "a page does not load")
	return true
}

// eval runs a script in the page, waits for it if it is a promise, and returns the text that it comes to.
func (b *browser) eval(script string) string {
	b.t.Helper()
	var done struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	b.do("Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true}, &done)
	if done.ExceptionDetails != nil {
		b.t.Fatalf("the page: %.300s", done.ExceptionDetails)
	}
	text, _ := done.Result.Value.(string)
	return text
}
