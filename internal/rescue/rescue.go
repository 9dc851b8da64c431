// Package rescue keeps a panic from ending the process: it is counted, logged with its stack, and becomes an error.
package rescue

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Every is the least time between two log lines about panics of the same work. All of them are counted.
const Every = time.Minute

// ErrPanic is in the chain of the error that a panic becomes.
var ErrPanic = errors.New("a panic was caught")

// Net catches panics. Names of work are few: they are code. Safe for concurrent use.
type Net struct {
	log    *slog.Logger
	caught *prometheus.CounterVec // by work

	mu   sync.Mutex // guards the rest
	last map[string]time.Time
}

// New returns a Net that counts in rollcall_panics_total. r may be nil.
func New(log *slog.Logger, r prometheus.Registerer) *Net {
	n := &Net{
		log:    log,
		caught: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_panics_total", Help: "Panics caught, by the work they ended; each is a bug."}, []string{"work"}),
		last:   map[string]time.Time{},
	}
	if r != nil {
		r.MustRegister(n.caught)
	}
	return n
}

// Catch is deferred, and only deferred: it ends a panic of the function that defers it.
func (n *Net) Catch(work string) {
	if p := recover(); p != nil {
		n.note(work, p)
	}
}

// Try calls f and returns its error; a panic becomes one.
func (n *Net) Try(work string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			n.note(work, p)
			err = fmt.Errorf("%s: %w: %v", work, ErrPanic, p)
		}
	}()
	return f()
}

// Call calls f and reports whether it returned.
func (n *Net) Call(work string, f func()) (ok bool) {
	return n.Try(work, func() error { f(); return nil }) == nil
}

// Go calls f in a goroutine. Whoever has to wait for its end does so in f.
func (n *Net) Go(work string, f func()) {
	go func() {
		defer n.Catch(work)
		f()
	}()
}

// After is time.AfterFunc for an f that may panic.
func (n *Net) After(wait time.Duration, work string, f func()) *time.Timer {
	return time.AfterFunc(wait, func() {
		defer n.Catch(work)
		f()
	})
}

// Caught notes a panic that somebody else recovered.
func (n *Net) Caught(work string, panicked any) { n.note(work, panicked) }

func (n *Net) note(work string, p any) {
	n.caught.WithLabelValues(work).Inc()
	n.mu.Lock()
	due := time.Since(n.last[work]) >= Every
	if due {
		n.last[work] = time.Now()
	}
	n.mu.Unlock()
	if due {
		n.log.Error("a panic was caught, the work goes on", slog.String("work", work), slog.String("panic", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))
	}
}
