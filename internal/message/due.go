package message

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/hall"
	"rollcall/internal/notice"
	"rollcall/internal/webhook"
)

const (
	dueEvery = time.Second // how often it is looked what other nodes have planned
	dueBatch = 100         // tasks of one look
)

// plan wakes the due work when an entry has something to be done before it would look anyway.
func (m *Messages) plan(e notice.Entry) {
	soon := m.now() + dueEvery.Milliseconds()
	for _, at := range []int64{e.SendAt, e.ExpiresAt, e.UnreachedAt} {
		if at != 0 && at <= soon {
			nudge(m.due)
			return
		}
	}
}

// doDue does what is due, or waits for the next of it.
func (m *Messages) doDue(ctx context.Context) error {
	next, err := m.Notices.NextTask(ctx)
	if err != nil {
		return err
	}
	if next == 0 || next > m.now() {
		m.waitFor(ctx, next)
		return nil
	}
	tasks, err := m.Notices.Tasks(ctx, dueBatch)
	if err != nil {
		return err
	}
	var failed error
	for _, t := range tasks {
		if err := m.Net.Try("do a task", func() error { return m.do(ctx, t) }); err != nil {
			failed = fmt.Errorf("%s notice %s: %w", t.Kind, t.NoticeID, err) // the others are done nevertheless
		}
	}
	return failed
}

// waitFor waits until the next task is due, if any, but looks again soon for what other nodes have planned.
func (m *Messages) waitFor(ctx context.Context, next int64) {
	wait := dueEvery
	if next != 0 {
		wait = min(wait, time.Duration(next-m.now())*time.Millisecond)
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-m.due:
	}
}

// do does a task, unless another node has: who takes it off the list, in the transaction of the deed, has done it.
func (m *Messages) do(ctx context.Context, t notice.Task) error {
	var after func()
	err := m.DB.Write(ctx, func(ctx context.Context, _ *gorm.DB) error {
		after = nil
		taken, err := m.Notices.Take(ctx, t)
		if err != nil || !taken {
			return err
		}
		e, err := m.Notices.Get(ctx, t.NoticeID)
		if fault.Is(err, fault.NotFound) { // trimmed
			return nil
		}
		if err != nil {
			return err
		}
		switch t.Kind {
		case notice.TaskSend:
			after, err = m.release(ctx, e)
		case notice.TaskExpire:
			after = func() { m.repeats.end(e.ID, "") }
			err = m.Notices.Expire(ctx, e.ID)
		case notice.TaskUnreached:
			err = m.tellUnreached(ctx, e)
		}
		return err
	})
	if err == nil && after != nil {
		after()
	}
	return err
}

// release has a scheduled notice go out: from the commit on it is in the inboxes. It returns what is to be done then.
func (m *Messages) release(ctx context.Context, e notice.Entry) (after func(), err error) {
	at := m.now()
	if e.State != notice.Queued || e.SentAt != 0 || e.ExpiresAt != 0 && e.ExpiresAt <= at {
		return nil, nil
	}
	l := letter{entry: e, frame: frameOf(e), holds: !e.Stored, to: hall.Audience{All: e.ToAll, Except: e.Except, ConferenceID: e.Scope, ClientTypes: e.ClientTypes}}
	if l.users, err = m.recipients(ctx, e); err != nil {
		return nil, err
	}
	l.to.Users = l.users
	there := 0
	if e.ToAll {
		away, err := m.Presence.Elsewhere(ctx, l.to)
		if err != nil {
			return nil, err
		}
		there = len(hall.Users(append(m.Hall.Find(l.to), away...)))
	}
	if err := m.Notices.MarkSent(ctx, e.ID, at, there); err != nil {
		return nil, err
	}
	for _, user := range l.users {
		l.entry.Deliveries = append(l.entry.Deliveries, notice.Delivery{UserID: user, State: notice.Queued})
	}
	mail, err := m.mail(l)
	if err != nil {
		return nil, err
	}
	if mail != nil {
		err = m.Cluster.Forward(ctx, mail)
	}
	return func() {
		m.goOut(l)
		if mail == nil {
			m.mailLate(ctx, l)
		}
	}, err
}

// recipients returns all users whom a notice was addressed to; of one to all, nobody.
func (m *Messages) recipients(ctx context.Context, e notice.Entry) ([]string, error) {
	var all []string
	for last := ""; !e.ToAll; {
		some, err := m.Notices.Recipients(ctx, e.ID, last, 0)
		if err != nil || len(some) == 0 {
			return all, err
		}
		all, last = append(all, some...), some[len(some)-1]
	}
	return nil, nil
}

// tellUnreached has the backend told whom a notice has not reached in time.
func (m *Messages) tellUnreached(ctx context.Context, e notice.Entry) error {
	users, err := m.Notices.Unreached(ctx, e.ID)
	if err != nil {
		return err
	}
	events := make([]webhook.Event, len(users))
	for i, user := range users {
		events[i] = webhook.Event{Type: "notice.unreached", ConferenceID: e.ConferenceID, At: m.now(), Data: map[string]any{
			"noticeId": e.ID, "userId": user, "event": e.Event, "category": e.Category, "label": e.Label,
		}}
	}
	return m.Webhooks.Append(ctx, events)
}
