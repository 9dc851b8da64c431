package webhook

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"rollcall/internal/crew"
	"rollcall/internal/fault"
)

// Run sends until ctx ends. Requests under way get 2 s to end then; what did not is sent again by another node, or after
// the restart, with the same id. While the database is away it waits. It returns nil.
func (o *Outbox) Run(ctx context.Context) error {
	if o == nil {
		<-ctx.Done()
		return nil
	}
	working, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var loops sync.WaitGroup
	var workers crew.Crew
	loops.Go(func() { o.net.Call("tidy webhooks", func() { o.tidy(ctx) }) })
	if len(o.endpoints) > 0 {
		loops.Go(func() { o.net.Call("look for webhooks", func() { o.dispatch(ctx, working, &workers) }) })
	}
	<-ctx.Done()
	loops.Wait()
	late := o.net.After(o.pace.goodbye, "cut webhooks", cut)
	defer late.Stop()
	workers.Close()
	return nil
}

// dispatch hands out what is due whenever something was committed here, and each second what other nodes left.
func (o *Outbox) dispatch(ctx, working context.Context, workers *crew.Crew) {
	tick := time.NewTicker(o.pace.poll)
	defer tick.Stop()
	for {
		o.net.Call("look for webhooks", func() { o.handOut(ctx, working, workers) })
		select {
		case <-ctx.Done():
			return
		case <-o.wake:
		case <-tick.C:
		}
	}
}

func (o *Outbox) handOut(ctx, working context.Context, workers *crew.Crew) {
	for ctx.Err() == nil {
		keys, busy := o.desk.open(o.endpoints)
		if len(keys) == 0 {
			return
		}
		limit := lanesAtOnce*len(keys) + busy // so that what is busy already does not hide the others
		lanes, err := o.due(ctx, keys, limit)
		if ctx.Err() != nil {
			return
		}
		o.trouble.note("look for what is due", err)
		if err != nil {
			return
		}
		started := 0
		for _, row := range lanes {
			l := row.lane()
			if !o.desk.enter(l) {
				continue
			}
			started++
			h := &hold{lane: l, due: *row.DueAt}
			workers.Go(func() { o.net.Call("send webhooks", func() { o.work(ctx, working, h) }) })
		}
		if started == 0 || len(lanes) < limit {
			return
		}
	}
}

// work sends the events of one lane, one after the other. ctx says when to stop, working when to drop everything. Should it
// panic, the lease of the lane runs out and somebody tries again.
func (o *Outbox) work(ctx, working context.Context, h *hold) {
	look := false
	defer func() {
		if o.desk.leave(h.lane) || look {
			o.rouse()
		}
	}()
	s := step{more: true}
	for n := 1; ; n++ {
		head, wait := o.step(ctx, working, h, s)
		if wait > 0 && wait < o.pace.poll {
			o.net.After(wait, "wake webhooks", o.rouse) // a retry sooner than the next look
		}
		if look = !s.more; head == nil {
			return
		}
		if time.Until(h.until) < o.pace.attempt { // the database was slow: the lease might not outlast the request
			s = step{more: true}
			continue
		}
		r := o.attempt(working, o.byKey[h.endpoint], head, h.until)
		s = step{row: head, done: r, more: ctx.Err() == nil && n < o.pace.shift}
		if r.cut {
			s.row = nil
		}
		o.tell(o.byKey[h.endpoint], r)
	}
}

// step advances the lane, however long the database is away: an event that was taken and not recorded would be sent twice.
// It returns nil when there is nothing to send.
func (o *Outbox) step(ctx, working context.Context, h *hold, s step) (*outboxRow, time.Duration) {
	for {
		if ctx.Err() != nil {
			s.more = false
		}
		bounded, cancel := context.WithTimeout(context.WithoutCancel(working), o.pace.bound(ctx))
		head, wait, err := o.advance(bounded, h, s)
		cancel()
		if errors.Is(err, errLost) {
			return nil, 0
		}
		o.trouble.note("record what was sent", err)
		if err == nil {
			return head, wait
		}
		pause(ctx, o.pace.poll)
		if s.row == nil || ctx.Err() != nil || !fault.Is(err, fault.Unavailable) {
			return nil, 0 // the lease runs out, and then somebody tries again
		}
	}
}

// bound is the time for one transaction: the database's own, and less once ctx has ended.
func (p pace) bound(ctx context.Context) time.Duration {
	if ctx.Err() != nil {
		return p.goodbye
	}
	return p.lease
}

// tell logs when an endpoint begins to fail and when it is back. An event that it refuses says nothing about the others.
func (o *Outbox) tell(e *endpoint, r outcome) {
	switch {
	case r.cut || !r.ok && refusal(r.status):
	case r.ok && e.failing.Swap(false) && o.trouble.others.Again("back: "+e.key):
		o.trouble.log.Info("a webhook endpoint takes events again", slog.Int("endpoint", e.index), slog.String("url", e.shown))
	case !r.ok && !e.failing.Swap(true) && o.trouble.others.Again("fails: "+e.key):
		o.trouble.log.Warn("a webhook endpoint fails, its events wait", slog.Int("endpoint", e.index), slog.String("url", e.shown), slog.String("why", r.text))
	}
}
