package message

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"rollcall/internal/rescue"
)

// retryPause is between tries of background work that failed.
const retryPause = time.Second

// note logs an error of work that is tried again or given up, once until it succeeds. Who caught a panic has logged it.
func (m *Messages) note(work string, err error) {
	if err != nil {
		m.metrics.errors.WithLabelValues(work).Inc()
	}
	if m.troubles.Begins(work, err != nil) && !errors.Is(err, rescue.ErrPanic) {
		m.Log.Warn("could not "+work, slog.Any("error", err))
	}
}

// keep calls step until ctx ends, with a pause after one that failed.
func (m *Messages) keep(ctx context.Context, work string, step func(context.Context) error) {
	for ctx.Err() == nil {
		err := m.Net.Try(work, func() error { return step(ctx) })
		if ctx.Err() != nil {
			return
		}
		if m.note(work, err); err != nil {
			pause(ctx, retryPause)
		}
	}
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
