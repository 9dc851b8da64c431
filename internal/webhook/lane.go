package webhook

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"
)

// errLost says that the lane is no longer this node's: its lease ran out.
var errLost = errors.New("another node works on the lane")

// hold is a lane that this node works on.
type hold struct {
	lane
	due   int64     // due_at as this node knows it: at first what made the lane due, then its lease
	until time.Time // the end of the lease by this node's clock, rather early than late
}

// step is what is to be done with a lane after its head was tried.
type step struct {
	row  *outboxRow // what was tried; nil: nothing
	done outcome
	more bool // go on with the next event; else leave the lane to whoever comes
}

// advance records what became of the head and returns the next one, or nil when the lane rests: because nothing is
// pending, a retry has to wait, or no more was asked for. With a head, the lane is this node's for another lease. wait is
// how long the lane waits for a retry, 0 if it does not.
//
// A lane that is another node's by now is errLost. That the endpoint took the event is recorded even then.
func (o *Outbox) advance(ctx context.Context, h *hold, s step) (head *outboxRow, wait time.Duration, err error) {
	var lease int64
	var lost, died bool
	began := time.Now()
	err = o.db.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		head, wait, died = nil, 0, false
		now, err := o.db.Now(ctx)
		if err != nil {
			return err
		}
		lease = leased(now + o.pace.lease.Milliseconds())
		ours, err := setDue(tx, h.lane, h.due, &lease)
		if err != nil {
			return err
		}
		lost = !ours
		if s.row != nil && (ours || s.done.ok) {
			if wait, died, err = o.settle(tx, s, now); err != nil {
				return err
			}
		}
		if lost {
			return nil
		}
		head, err = o.rest(tx, hold{lane: h.lane, due: lease}, s.more, now, wait)
		return err
	})
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("go on with a lane of webhooks: %w", err)
	case lost:
		return nil, 0, errLost
	}
	if died {
		o.metrics.dead.Inc()
		o.trouble.gaveUp(o.byKey[h.endpoint], s.row, s.done)
	}
	h.due, h.until = lease, began.Add(o.pace.lease)
	return head, wait, nil
}

// rest returns the head of a lane if it is to be sent now. Else it puts the lane down: idle, until the retry, or for anybody.
func (o *Outbox) rest(tx *gorm.DB, h hold, more bool, now int64, wait time.Duration) (*outboxRow, error) {
	head, err := headOf(tx, h.lane)
	if err != nil {
		return nil, err
	}
	var due *int64
	switch {
	case head == nil:
	case wait > 0:
		due = new(free(now + wait.Milliseconds()))
	case more:
		return head, nil
	default:
		due = new(now - now&1)
	}
	_, err = setDue(tx, h.lane, h.due, due)
	return nil, err
}

// settle records an attempt. What is not pending any more stays as it is: another node was here in the meantime.
func (o *Outbox) settle(tx *gorm.DB, s step, now int64) (wait time.Duration, died bool, err error) {
	first := now - s.done.took.Milliseconds()
	if s.row.FirstAt != nil {
		first = min(*s.row.FirstAt, first)
	}
	changes := map[string]any{
		"attempts": gorm.Expr("attempts + 1"), "first_at": first, "last_at": now, "last_status": s.done.status, "last_error": s.done.text,
	}
	if s.done.ok {
		changes["state"] = sent
	} else {
		again := false
		wait, again = o.retry.next(failure{
			attempts: s.row.Attempts + 1, since: time.Duration(now-first) * time.Millisecond,
			status: s.done.status, before: s.row.LastStatus, retryAfter: s.done.retryAfter,
		})
		if died = !again; died {
			changes["state"] = dead
		}
	}
	r := tx.Model(&outboxRow{}).Where("id = ? AND state = ?", s.row.ID, pending).Updates(changes)
	return wait, died && r.RowsAffected > 0, r.Error
}
