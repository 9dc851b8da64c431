package conference

import (
	"log/slog"
	"runtime/debug"
	"sync"
)

// troubles remembers what goes wrong in the background, so that it is one line in the log and not one with every
// try. mu guards known.
type troubles struct {
	mu    sync.Mutex
	known map[string]bool
}

// begins reports whether something has just begun to go wrong.
func (t *troubles) begins(what string, wrong bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	fresh := wrong && !t.known[what]
	if !wrong {
		delete(t.known, what)
		return false
	}
	if t.known == nil {
		t.known = map[string]bool{}
	}
	t.known[what] = true
	return fresh
}

// note logs an error of work that is tried again, once until it succeeds. Names of work are few: they are code.
func (h *House) note(what string, err error) {
	if h.troubles.begins(what, err != nil) {
		h.Log.Warn("could not "+what+", trying again", slog.Any("error", err))
	}
}

// guard runs a piece of background work and keeps a panic in it from ending the process. It reports whether there was
// none. The first panic of each kind of work is logged with its stack, all are counted.
func (h *House) guard(work string, f func()) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			h.metrics.panics.Inc()
			if h.troubles.begins("panic: "+work, true) {
				h.Log.Error("a panic was caught, the work goes on", slog.String("work", work), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			}
		}
	}()
	f()
	return true
}
