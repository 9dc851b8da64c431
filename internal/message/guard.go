package message

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// retryPause is between tries of background work that failed.
const retryPause = time.Second

var errPanicked = errors.New("a panic was caught")

// note logs an error of work that is tried again or given up, once until it succeeds.
func (m *Messages) note(work string, err error) {
	if err != nil {
		m.metrics.errors.WithLabelValues(work).Inc()
	}
	if m.troubles.Begins(work, err != nil) {
		m.Log.Warn("could not "+work, slog.Any("error", err))
	}
}

// keep calls step until ctx ends, with a pause after one that failed.
func (m *Messages) keep(ctx context.Context, work string, step func(context.Context) error) {
	for ctx.Err() == nil {
		err := m.guard(work, func() error { return step(ctx) })
		if ctx.Err() != nil {
			return
		}
		if m.note(work, err); err != nil {
			pause(ctx, retryPause)
		}
	}
}

// guard turns a panic of f into an error and logs the first of each work with its stack.
func (m *Messages) guard(work string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errPanicked, p)
			m.metrics.panics.WithLabelValues(work).Inc()
			if m.troubles.Begins("panic: "+work, true) {
				m.Log.Error("a panic was caught, the work goes on", slog.String("work", work), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			}
		}
	}()
	return f()
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// nudge leaves one message in a channel that has room for one.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
