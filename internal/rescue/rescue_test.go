package rescue

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// book is a log that a test reads.
type book struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write implements io.Writer.
func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) lines() int { return strings.Count(b.String(), "\n") }

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func open() (*Net, *book) {
	var b book
	return New(slog.New(slog.NewTextHandler(&b, nil)), prometheus.NewRegistry()), &b
}

// count returns the panics of a work as /metrics would tell them.
func (n *Net) count(work string) (total int) {
	r := prometheus.NewRegistry()
	r.MustRegister(n.caught)
	families, _ := r.Gather()
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "rollcall_panics_total" && m.GetLabel()[0].GetValue() == work {
				total += int(m.GetCounter().GetValue())
			}
		}
	}
	return total
}

// whereItBroke is what the stack in the log must name.
func whereItBroke(p any) { panic(p) }

// However a net is held under some work, a panic of it ends there, is counted, and is told with the place it happened at.
func TestCaught(t *testing.T) {
	for name, fall := range map[string]func(n *Net){
		"Catch": func(n *Net) {
			func() {
				defer n.Catch("work")
				whereItBroke("a bug")
			}()
		},
		"Try": func(n *Net) {
			err := n.Try("work", func() error { whereItBroke("a bug"); return nil })
			if !errors.Is(err, ErrPanic) || err.Error() != "work: a panic was caught: a bug" {
				t.Errorf("Try: %v", err)
			}
		},
		"Call": func(n *Net) {
			if n.Call("work", func() { whereItBroke("a bug") }) {
				t.Error("Call says that it returned")
			}
		},
		"Go": func(n *Net) {
			n.Go("work", func() { whereItBroke("a bug") })
		},
		"After": func(n *Net) {
			n.After(time.Second, "work", func() { whereItBroke("a bug") })
			time.Sleep(2 * time.Second)
		},
		"Caught": func(n *Net) {
			defer func() { n.Caught("work", recover()) }()
			whereItBroke("a bug")
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			n, log := open()
			fall(n)
			synctest.Wait()
			if n.count("work") != 1 || log.lines() != 1 {
				t.Errorf("%s: counted %d, logged %d times", name, n.count("work"), log.lines())
			}
			for _, want := range []string{"work=work", `panic="a bug"`, "whereItBroke"} {
				if !strings.Contains(log.String(), want) {
					t.Errorf("%s: %q is not in %s", name, want, log)
				}
			}
		})
	}
}

// What does not panic is left alone: its error is its own, and so is the end of a goroutine that wants to end.
func TestNothingToCatch(t *testing.T) {
	n, log := open()
	want := errors.New("an error")
	if err := n.Try("work", func() error { return want }); err != want {
		t.Errorf("Try: %v", err)
	}
	if !n.Call("work", func() {}) {
		t.Error("Call says that it did not return")
	}
	ended := make(chan struct{})
	n.Go("work", func() {
		defer close(ended)
		runtime.Goexit()
	})
	<-ended
	if n.count("work") != 0 || log.lines() != 0 {
		t.Errorf("counted %d, logged %s", n.count("work"), log)
	}
}

// rude is a value that breaks whoever prints it.
type rude struct{}

// Error implements error.
func (rude) Error() string { panic("again") }

// Whatever is thrown is caught: errors of the runtime, nil, values that cannot be printed or compared.
func TestEverythingIsCaught(t *testing.T) {
	n, _ := open()
	var none map[string]int
	var nobody *book
	for i, f := range []func(){
		func() { none["a"] = 1 }, func() { _ = nobody.text.Len(); nobody.text.WriteByte(1) }, func() { panic(nil) }, func() { panic(rude{}) },
		func() { panic([]func(){}) }, func() { panic(fmt.Errorf("wrapped: %w", ErrPanic)) },
	} {
		if n.Call("work", f) || n.count("work") != i+1 {
			t.Errorf("%d: counted %d", i, n.count("work"))
		}
	}
}

// A bug that shows a thousand times a second is a thousand times counted and once a minute told, each work by itself.
func TestToldRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, log := open()
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() { n.Call("a", func() { panic("a bug") }) })
		}
		all.Wait()
		n.Call("b", func() { panic("a bug") })
		if n.count("a") != 1000 || n.count("b") != 1 || log.lines() != 2 {
			t.Fatalf("counted %d and %d, logged %d times", n.count("a"), n.count("b"), log.lines())
		}
		time.Sleep(Every - time.Millisecond)
		n.Call("a", func() { panic("a bug") })
		if log.lines() != 2 {
			t.Error("told again within the minute")
		}
		time.Sleep(time.Millisecond)
		n.Call("a", func() { panic("a bug") })
		if log.lines() != 3 {
			t.Error("not told again after a minute")
		}
	})
}

// Without a registry there is no metric, and everything else is as it is.
func TestWithoutMetrics(t *testing.T) {
	var log book
	n := New(slog.New(slog.NewTextHandler(&log, nil)), nil)
	if n.Call("work", func() { panic("a bug") }) || log.lines() != 1 {
		t.Errorf("logged %s", &log)
	}
}
