package clienttest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/internal/clienttest"
	"rollcall/internal/storetest"
)

// echo starts test/clients/echo.mjs and returns its address. There, "say" is answered by the event "said" and an
// acknowledgement, "ask me" by an event that wants one, and who comes with query "refuse" is refused.
func echo(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("node", "echo.mjs")
	cmd.Dir = filepath.Join("..", "..", "test", "clients")
	in, inErr := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // which ends it
		_ = cmd.Wait()
	})
	var port int
	if _, err := fmt.Fscan(out, &port); err != nil {
		t.Fatalf("start echo server: %v", err)
	}
	return fmt.Sprintf("http://127.0.0.1:%d", port)
}

// each runs fn with a client of either major version over either transport.
func each(t *testing.T, fn func(t *testing.T, d *clienttest.Driver, o clienttest.Options)) {
	t.Helper()
	url, d := echo(t), clienttest.Start(t)
	for _, version := range []int{4, 2} {
		for _, transport := range []string{"polling", "websocket"} {
			t.Run(fmt.Sprintf("%d.x over %s", version, transport), func(t *testing.T) {
				fn(t, d, clienttest.Options{URL: url, Version: version, Transports: []string{transport}, NoUpgrade: true})
			})
		}
	}
}

// says matches an event whose first argument is the string.
func says(want string) func([]json.RawMessage) bool {
	return func(args []json.RawMessage) bool { return len(args) > 0 && string(args[0]) == `"`+want+`"` }
}

func TestEmitWaitAndAcknowledge(t *testing.T) {
	each(t, func(t *testing.T, d *clienttest.Driver, o clienttest.Options) {
		anna := d.Open(t, o)
		if e := anna.WaitConnect(t); e.SID == "" || e.Transport != o.Transports[0] {
			t.Errorf("connected as %+v", e)
		}
		for _, word := range []string{"one", "two", "three"} {
			anna.Emit(t, "say", word, map[string]any{"n": 1})
		}
		if got := anna.EmitAck(t, "say", "four"); len(got) != 1 || string(got[0]) != `"heard"` {
			t.Errorf("acknowledged with %s", got)
		}
		anna.Wait(t, "said", says("two"))
		if e := anna.Wait(t, "said", nil); !says("three")(e.Args) || len(e.Args) != 2 {
			t.Errorf("after two came %s", e.Args)
		}
		anna.Wait(t, "said", says("four"))
		if n := len(anna.Events("said")); n != 4 {
			t.Errorf("%d events, want 4", n)
		}
	})
}

// The server may want an acknowledgement: the test gives it, or lets the client do so by itself.
func TestAnswer(t *testing.T) {
	each(t, func(t *testing.T, d *clienttest.Driver, o clienttest.Options) {
		anna := d.Connect(t, o)
		anna.Emit(t, "ask me")
		question := anna.Wait(t, "question", says("how are you"))
		if question.Ack == 0 {
			t.Fatal("a question without a number to answer it by")
		}
		anna.Answer(t, question, "fine")
		anna.Wait(t, "said", says("fine"))

		o.AutoAck = true
		bert := d.Connect(t, o)
		bert.Emit(t, "ask me")
		bert.Wait(t, "said", nil)
	})
}

func TestRefused(t *testing.T) {
	each(t, func(t *testing.T, d *clienttest.Driver, o clienttest.Options) {
		o.Query = map[string]string{"refuse": "1"}
		e := d.Open(t, o).WaitError(t)
		if !strings.Contains(string(e.Data), "forbidden") {
			t.Errorf("refused with %+v", e)
		}
	})
}

// A refusal "for now" is an HTTP status, which a test can tell from a server that is gone.
func TestHTTPStatus(t *testing.T) {
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }))
	defer busy.Close()
	d := clienttest.Start(t)
	for _, version := range []int{4, 2} {
		for _, transport := range []string{"polling", "websocket"} {
			o := clienttest.Options{URL: busy.URL, Version: version, Transports: []string{transport}}
			if e := d.Open(t, o).WaitError(t); !strings.Contains(e.Cause, "503") {
				t.Errorf("%d.x over %s: %+v", version, transport, e)
			}
		}
	}
}

func TestUpgrade(t *testing.T) {
	url, d := echo(t), clienttest.Start(t)
	for _, version := range []int{4, 2} {
		anna := d.Connect(t, clienttest.Options{URL: url, Version: version, Transports: []string{"polling", "websocket"}})
		if e := anna.WaitUpgrade(t); e.Transport != "websocket" {
			t.Errorf("%d.x went over to %s", version, e.Transport)
		}
	}
}

// The three ways a client goes: with a good-bye, thrown out, and torn away, from where it comes back if it was told to.
func TestGoing(t *testing.T) {
	each(t, func(t *testing.T, d *clienttest.Driver, o clienttest.Options) {
		anna := d.Connect(t, o)
		anna.Close(t)
		if e := anna.WaitDisconnect(t); e.Reason != "io client disconnect" {
			t.Errorf("after Close: %s", e.Reason)
		}
		if o.Version == 4 {
			anna.Reopen(t)
			anna.WaitConnect(t)
		}

		o.Reconnect = true
		carl := d.Connect(t, o)
		carl.Emit(t, "throw me out")
		if e := carl.WaitDisconnect(t); e.Reason != "io server disconnect" {
			t.Errorf("after being thrown out: %s", e.Reason)
		}

		bert := d.Open(t, o)
		first := bert.WaitConnect(t)
		bert.Abort(t)
		if e := bert.WaitDisconnect(t); e.Reason != "transport close" {
			t.Errorf("after Abort: %s", e.Reason)
		}
		if again := bert.WaitConnect(t); again.SID == first.SID {
			t.Error("came back as the same socket")
		}
	})
}

// A frozen client keeps its connection but hears nothing any more, not even an acknowledgement.
func TestFreeze(t *testing.T) {
	url, d := echo(t), clienttest.Start(t)
	anna := d.Connect(t, clienttest.Options{URL: url, Transports: []string{"websocket"}})
	bert := d.Connect(t, clienttest.Options{URL: url, Transports: []string{"websocket"}})
	anna.Freeze(t)
	anna.Emit(t, "say", "hello")
	bert.EmitAck(t, "say", "hello")
	storetest.Eventually(t, func() bool { return len(bert.Events("said")) == 1 }, "bert hears himself")
	if got := anna.Events("said"); len(got) != 0 {
		t.Errorf("a frozen client heard %v", got)
	}
}
