package conference

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"gorm.io/gorm"
)

const (
	// lookEvery is how often an agenda is read again, for what other nodes put there.
	lookEvery = time.Second
	// dueBatch is how much of what is due is read at once, and dueAtOnce how much of it is done at the same time.
	dueBatch  = 200
	dueAtOnce = 8
)

// agenda is a table with a row per conference and a column that says when something is to be done there. Every node
// works on it; who comes second finds, under the lock of the conference, that it was done.
type agenda struct {
	house         *House
	table, column string
	work          string                                               // in the log
	do            func(ctx context.Context, conferenceID string) error // when it is due; several at a time
	wake          chan struct{}                                        // says that there may be something sooner
}

func (h *House) agenda(table, column, work string, do func(context.Context, string) error) *agenda {
	return &agenda{house: h, table: table, column: column, work: work, do: do, wake: make(chan struct{}, 1)}
}

// look makes the agenda read again. It does not block.
func (a *agenda) look() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// run does what is due until ctx ends.
func (a *agenda) run(ctx context.Context) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		case <-t.C:
		}
		wait := retryAfter
		err := a.house.Net.Try(a.work, func() (err error) {
			wait, err = a.round(ctx)
			return err
		})
		if err != nil {
			wait = min(wait, retryAfter) // not longer for the sake of one that fails: others are due meanwhile
		}
		if ctx.Err() == nil {
			a.house.note(a.work, err)
		}
		t.Reset(wait)
	}
}

// round does what is due, and returns how long it is until there is more, also when some of it failed.
func (a *agenda) round(ctx context.Context) (time.Duration, error) {
	var last dueRow
	var failed error
	for {
		now, rows, err := a.read(ctx, last)
		if err != nil {
			return retryAfter, err
		}
		due := rows
		for i, r := range rows {
			if r.DueAt > now {
				due = rows[:i]
				break
			}
		}
		if err := a.each(ctx, due); err != nil {
			failed = err
		}
		switch {
		case len(due) < len(rows):
			return min(time.Duration(rows[len(due)].DueAt-now)*time.Millisecond, lookEvery), failed
		case len(rows) < dueBatch:
			return lookEvery, failed
		}
		last = rows[len(rows)-1]
	}
}

// dueRow is a conference and when something is to be done there.
type dueRow struct {
	ConferenceID string
	DueAt        int64
}

// read returns what comes next on the agenda, behind last, and the clock of the database, if there is anything to compare with it.
func (a *agenda) read(ctx context.Context, last dueRow) (now int64, rows []dueRow, err error) {
	err = a.house.DB.ReadOne(ctx, func(ctx context.Context, tx *gorm.DB) error {
		q := tx.Table(a.table).Select("conference_id, "+a.column+" AS due_at").Where(a.column+" >= ?", last.DueAt)
		if last.ConferenceID != "" {
			q = q.Where("("+a.column+" > ? OR conference_id > ?)", last.DueAt, last.ConferenceID)
		}
		return q.Order(a.column + ", conference_id").Limit(dueBatch).Scan(&rows).Error
	})
	if err == nil && len(rows) > 0 {
		now, err = a.house.DB.Now(ctx)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("read %s: %w", a.table, err)
	}
	return now, rows, nil
}

// each does what is due in every conference. One that fails does not keep the others waiting.
func (a *agenda) each(ctx context.Context, due []dueRow) error {
	errs := make([]error, len(due))
	var all errgroup.Group
	all.SetLimit(dueAtOnce)
	for i, r := range due {
		all.Go(func() error {
			errs[i] = a.house.Net.Try(a.work, func() error { return a.do(ctx, r.ConferenceID) })
			return nil
		})
	}
	_ = all.Wait() // none of them returns an error
	return errors.Join(errs...)
}
