package message

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/hall"
	"rollcall/internal/notice"
	"rollcall/internal/store"
	"rollcall/internal/webhook"
)

const (
	acksMost   = 20_000  // acknowledgements that wait at most; beyond, sending again heals
	fixesMost  = 100_000 // corrections that wait at most; beyond, the next connect of the user heals
	markBatch  = 500     // of both in one transaction
	markLinger = 20 * time.Millisecond
	lastMarks  = 3 * time.Second // for what waits when Run ends
)

// mark is something that became of a notice for a user. With an errand, its notice is sent again until the user has
// acknowledged it, if the mark was news: then he had it for the first time.
type mark struct {
	notice.Settlement
	errand *errand
}

// markOf begins a mark by a socket; its State is still to be set.
func markOf(noticeID string, s hall.Socket, at int64) mark {
	return mark{Settlement: notice.Settlement{NoticeID: noticeID, UserID: s.UserID, At: at, SessionID: s.SessionID, ClientType: s.ClientType, DeviceID: s.DeviceID, IP: s.IP}}
}

// ledger is what is still to be written of what became of notices.
type ledger struct {
	acks, fixes *queue[mark]
}

func newLedger() *ledger {
	return &ledger{newQueue[mark](acksMost), newQueue[mark](fixesMost)}
}

// Acked notes that a socket has acknowledged a notice. It does not block.
func (m *Messages) Acked(s hall.Socket, noticeID string) {
	if s.UserID == "" {
		return
	}
	a := markOf(noticeID, s, m.now())
	a.State = notice.Acked
	if m.ledger.acks.push(a) == 0 {
		m.metrics.dropped.WithLabelValues("acks").Inc()
		return
	}
	m.repeats.end(noticeID, s.UserID)
}

// mark has corrections written down soon.
func (m *Messages) mark(fixes ...mark) {
	if lost := len(fixes) - m.ledger.fixes.push(fixes...); lost > 0 {
		m.metrics.dropped.WithLabelValues("corrections").Add(float64(lost))
	}
}

// writeDown waits for marks, and a little for others, and writes them down.
func (m *Messages) writeDown(ctx context.Context) error {
	l := m.ledger
	select {
	case <-ctx.Done():
		return nil
	case <-l.acks.wake:
	case <-l.fixes.wake:
	}
	pause(ctx, markLinger)
	for ctx.Err() == nil {
		acks := l.acks.now(markBatch)
		fixes := l.fixes.now(markBatch - len(acks))
		if len(acks)+len(fixes) == 0 {
			return nil
		}
		if err := m.writeMarks(ctx, append(acks, fixes...)); err != nil {
			l.fixes.putBack(fixes)
			l.acks.putBack(acks)
			return err
		}
	}
	return nil
}

// finish writes what still waits when Run ends.
func (m *Messages) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastMarks)
	defer cancel()
	for {
		list := append(m.ledger.acks.now(markBatch), m.ledger.fixes.now(markBatch)...)
		if len(list) == 0 {
			return
		}
		if err := m.Net.Try("write the last marks", func() error { return m.writeMarks(ctx, list) }); err != nil {
			m.Log.Warn("what became of some notices was not written down before the end", slog.Any("error", err))
			return
		}
	}
}

// writeMarks writes a list in one transaction. An error means that the database is away and nothing was written; a
// mark that the database refuses is dropped, so that it does not keep the others out.
func (m *Messages) writeMarks(ctx context.Context, list []mark) error {
	settlements := make([]notice.Settlement, len(list))
	errands := map[[2]string]*errand{} // by notice and user
	for i, k := range list {
		settlements[i] = k.Settlement
		if k.errand != nil {
			errands[[2]string{k.NoticeID, k.UserID}] = k.errand
		}
	}
	var changed []notice.Settlement
	err := m.Net.Try("settle notices", func() (err error) { // a mark that breaks it is found like one that is refused
		changed, err = m.settle(ctx, settlements)
		return err
	})
	switch {
	case fault.Is(err, fault.Unavailable) || ctx.Err() != nil:
		return err
	case err != nil && len(list) > 1:
		half := len(list) / 2
		if err := m.writeMarks(ctx, list[:half]); err != nil {
			return err
		}
		return m.writeMarks(ctx, list[half:]) // the first half once more does no harm
	case err != nil:
		m.metrics.dropped.WithLabelValues("refused").Inc()
		m.note("write down what became of a notice", err)
		return nil
	}
	for _, s := range changed {
		if e := errands[[2]string{s.NoticeID, s.UserID}]; e != nil && s.State == notice.Sent {
			m.expect(e, []string{s.UserID})
		}
	}
	return nil
}

// settle writes settlements and what the backend is told of them, in one transaction or in that of ctx, and returns
// what was news.
func (m *Messages) settle(ctx context.Context, list []notice.Settlement) (changed []notice.Settlement, err error) {
	err = m.DB.Write(ctx, func(ctx context.Context, _ *gorm.DB) error {
		if changed, err = m.Notices.Settle(ctx, list); err != nil {
			return err
		}
		return m.tellAcked(ctx, changed)
	})
	if err != nil {
		return nil, err
	}
	store.AfterCommit(ctx, func() { m.countAcked(changed) })
	return changed, nil
}

func (m *Messages) countAcked(changed []notice.Settlement) {
	for _, s := range changed {
		if s.State == notice.Acked {
			m.metrics.acks.Inc()
		}
	}
}

// tellAcked has the backend told of acknowledgements, of the notices for which it wanted them.
func (m *Messages) tellAcked(ctx context.Context, changed []notice.Settlement) error {
	var ids []string
	for _, s := range changed {
		if s.State == notice.Acked {
			ids = append(ids, s.NoticeID)
		}
	}
	if m.Webhooks == nil || len(ids) == 0 {
		return nil
	}
	conferences, err := m.Notices.AckWanted(ctx, ids)
	if err != nil {
		return fmt.Errorf("tell of acknowledgements: %w", err)
	}
	var events []webhook.Event
	for _, s := range changed {
		if conferenceID, wanted := conferences[s.NoticeID]; wanted && s.State == notice.Acked {
			events = append(events, webhook.Event{Type: "notice.acked", ConferenceID: conferenceID, At: s.At, Data: map[string]any{
				"noticeId": s.NoticeID, "userId": s.UserID, "clientType": s.ClientType, "deviceId": s.DeviceID,
			}})
		}
	}
	return m.Webhooks.Append(ctx, events)
}
