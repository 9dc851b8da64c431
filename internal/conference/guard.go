package conference

import (
	"log/slog"
	"runtime/debug"
)

// note logs an error of work that is tried again, once until it succeeds. Names of work are few: they are code.
func (h *House) note(what string, err error) {
	if h.troubles.Begins(what, err != nil) {
		h.Log.Warn("could not "+what+", trying again", slog.Any("error", err))
	}
}

// guard runs a piece of background work and keeps a panic in it from ending the process. It reports whether there was
// none. The first panic of each kind of work is logged with its stack, all are counted.
func (h *House) guard(work string, f func()) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			h.metrics.panics.Inc()
			if h.troubles.Begins("panic: "+work, true) {
				h.Log.Error("a panic was caught, the work goes on", slog.String("work", work), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			}
		}
	}()
	f()
	return true
}
