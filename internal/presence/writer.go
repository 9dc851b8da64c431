package presence

import (
	"context"
	"errors"
	"time"

	"rollcall/internal/fault"
	"rollcall/internal/rescue"
)

const (
	firstPause = 100 * time.Millisecond // after the database was found to be away
	lastPause  = time.Second
)

// errExpelled means that another node called this one dead, so nothing may be written in its name.
var errExpelled = errors.New("this node was called dead by another one")

// errGone answers an open whose socket went before it could be committed.
var errGone = fault.New(fault.Conflict, "conflict", "the session was closed before it was opened")

// write is the one goroutine that changes presence on this node. It ends once drain is done and the queue is
// empty, or when abort is done.
func (p *Presence) write(drain, abort context.Context) {
	pause := firstPause
	for {
		ops := p.queue.next(drain)
		if ops == nil {
			return
		}
		err := p.cfg.Net.Try("write presence", func() error { return p.flush(abort, ops) })
		if errors.Is(err, rescue.ErrPanic) {
			p.fail(ops, err) // those that have no answer yet
		}
		if !fault.Is(err, fault.Unavailable) {
			pause = firstPause
			continue
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, lastPause)
		case <-abort.Done():
			return
		}
	}
}

// flush commits ops together. When one of them poisons the batch each is tried alone, so that only that one
// fails. It returns the error that concerns all, not those of single ops.
func (p *Presence) flush(ctx context.Context, ops []*op) error {
	ops = p.fit(ops)
	if len(ops) == 0 {
		return nil
	}
	began := time.Now()
	err := p.carryOut(ctx, ops, p.fence)
	p.trouble.note("write presence", unlessOwn(err))
	switch {
	case err == nil:
		p.meters.batch(len(ops), time.Since(began))
	case errors.Is(err, errExpelled):
		p.expel(ops[0].epoch)
		p.fail(ops, fault.Away(err))
	case fault.Is(err, fault.Unavailable):
		p.postpone(ops, err)
	case len(ops) == 1:
		p.meters.poisoned.Inc()
		p.fail(ops, err)
	default:
		return p.flushEach(ctx, ops)
	}
	return err
}

// carryOut commits ops and settles them. A panic is an error of these ops: it rolls back what was not committed, and to
// write again what was does no harm.
func (p *Presence) carryOut(ctx context.Context, ops []*op, fence fence) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	return p.cfg.Net.Try("write presence", func() error {
		b, err := p.commit(ctx, ops, fence)
		if err == nil {
			p.settle(b)
		}
		return err
	})
}

func (p *Presence) flushEach(ctx context.Context, ops []*op) error {
	for i := range ops {
		if err := p.flush(ctx, ops[i:i+1]); fault.Is(err, fault.Unavailable) {
			p.postpone(p.fit(ops[i+1:]), err)
			return err
		}
	}
	return nil
}

// unlessOwn hides errExpelled, which expel logs.
func unlessOwn(err error) error {
	if errors.Is(err, errExpelled) {
		return nil
	}
	return err
}

// fit takes out what has become void since it was queued: opens whose socket is gone, closes of what was never
// opened, and all that belongs to an epoch in which this node was called dead.
func (p *Presence) fit(ops []*op) []*op {
	p.mu.Lock()
	defer p.mu.Unlock()
	fitting := make([]*op, 0, len(ops))
	for _, o := range ops {
		o.epoch = p.epoch
		switch h := o.held; {
		case h == nil:
		case h.row.Epoch != p.epoch:
			o.answer(outcome{err: fault.Away(errExpelled)})
			continue
		case o.kind == opening && h.closing:
			h.refused = true
			delete(p.held, o.row.ID)
			o.answer(outcome{err: errGone})
			continue
		case h.refused:
			continue
		case o.kind == reopen && (h.closing || p.held[o.row.ID] != h):
			o.answer(outcome{})
			continue
		}
		fitting = append(fitting, o)
	}
	return fitting
}

// settle notes what is committed, answers who waits, and tells who pushes.
func (p *Presence) settle(b *batch) {
	p.keep(b)
	for i, o := range b.ops {
		o.answer(b.outcomes[i])
	}
	p.tell(b.changes)
}

// keep remembers which sessions are in the database now, and forgets those that are closed.
func (p *Presence) keep(b *batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, o := range b.ops {
		switch h := p.held[o.row.ID]; {
		case h == nil:
		case o.kind == closing, b.outcomes[i].err != nil:
			h.refused = h.refused || o.kind == opening
			delete(p.held, o.row.ID)
		default:
			h.committed = time.Now()
			if o.kind == opening {
				h.row.UserName = b.outcomes[i].arrival.UserName
			}
		}
	}
}

// fail gives ops up. The rows of closes that fail are closed by the comparison of sockets and rows.
func (p *Presence) fail(ops []*op, err error) {
	for _, o := range ops {
		p.giveUp(o)
		o.answer(outcome{err: err})
	}
}

func (p *Presence) giveUp(o *op) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o.held == nil || o.kind == reopen || o.kind == opening && !o.held.committed.IsZero() {
		return
	}
	o.held.refused = true
	if p.held[o.row.ID] == o.held {
		delete(p.held, o.row.ID)
	}
}

// postpone keeps the closes of this node's sessions for later, and fails the rest: their clients and sweeps come
// back by themselves.
func (p *Presence) postpone(ops []*op, err error) {
	var kept, failed []*op
	for _, o := range ops {
		if o.kind == closing && o.held != nil {
			kept = append(kept, o)
		} else {
			failed = append(failed, o)
		}
	}
	p.fail(failed, err)
	p.queue.putBack(kept)
}

// submit queues ops of a sweep and waits until they are written. It returns the first of their errors.
func (p *Presence) submit(ctx context.Context, ops []*op) error {
	for _, o := range ops {
		o.done = make(chan outcome, 1)
		if !p.queue.push(o) {
			o.answer(outcome{err: fault.Away(errors.New("too many closes wait to be written"))})
		}
	}
	var first error
	for _, o := range ops {
		select {
		case r := <-o.done:
			if first == nil {
				first = r.err
			}
		case <-ctx.Done():
			return fault.Away(context.Cause(ctx))
		case <-p.stopped:
			return fault.Away(errStopped)
		}
	}
	return first
}
