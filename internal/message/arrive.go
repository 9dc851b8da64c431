package message

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"rollcall/internal/fault"
	"rollcall/internal/hall"
	"rollcall/internal/notice"
)

const (
	arrivalsMost  = 50_000 // sockets that wait at most; beyond, all sockets are looked at
	arrivalsBatch = 200    // sockets of one look at what waits
	readers       = 4      // inboxes that are read at the same time
	unackedMost   = 200    // notices that are sent again to one who connects
)

// arrival is a socket that has just sat down. kept says that only what was kept for a reconnecting user is wanted.
type arrival struct {
	hall.Socket
	kept bool
}

// arrivals are the sockets that were not yet brought what waits for them.
type arrivals struct {
	queue *queue[arrival]
	full  atomic.Bool // one found no room: look at everybody
}

func newArrivals() *arrivals { return &arrivals{queue: newQueue[arrival](arrivalsMost)} }

// Arrived brings a socket that has just sat down what waits for its user. It does not block.
func (m *Messages) Arrived(s hall.Socket) { m.arrived(false, s) }

func (m *Messages) arrived(kept bool, sockets ...hall.Socket) {
	for _, s := range sockets {
		if !comes(s) {
			continue
		}
		if m.arrivals.queue.push(arrival{s, kept}) == 1 {
			continue
		}
		m.arrivals.full.Store(true)
		if m.arrivals.queue.push(arrival{s, kept}) == 0 { // else the worker may have looked at full before it was set
			m.metrics.dropped.WithLabelValues("arrivals").Inc()
		}
	}
}

// comes reports whether a socket has a user for whom something may wait: nobody and those who watch have none.
func comes(s hall.Socket) bool { return s.UserID != "" && s.SessionID != "" && !s.System }

// welcome brings to those who have arrived what waits for them. One read tells for all of them whether anything does:
// when everybody comes at once, most find nothing.
func (m *Messages) welcome(ctx context.Context) error {
	batch := m.arrivals.queue.take(ctx, arrivalsBatch)
	if len(batch) == 0 {
		return nil
	}
	users := make([]string, len(batch))
	for i, a := range batch {
		users[i] = a.UserID
	}
	waiting, err := m.Notices.Waiting(ctx, distinct(users))
	if err != nil {
		m.arrivals.queue.putBack(batch)
		return err
	}
	var again []arrival
	failed := make([]error, len(batch))
	var work errgroup.Group
	work.SetLimit(readers)
	for i, a := range batch {
		if w := waiting[a.UserID]; w.Held || !a.kept && (w.Unread || w.Unacked) {
			work.Go(func() error {
				failed[i] = m.Net.Try("bring what waits to one", func() error { return m.bring(ctx, a, w) })
				return nil
			})
		}
	}
	_ = work.Wait()
	var last error
	for i, err := range failed {
		if err != nil {
			last = err
		}
		if fault.Is(err, fault.Unavailable) {
			again = append(again, batch[i])
		}
	}
	if last == nil && m.arrivals.queue.len() == 0 && m.arrivals.full.Swap(false) {
		for _, s := range m.Hall.Find(hall.Audience{All: true}) {
			if comes(s) {
				again = append(again, arrival{Socket: s})
			}
		}
	}
	m.arrivals.queue.putBack(again)
	return last
}

// bring hands a socket what there is for its user: what was kept while he was reconnecting, once more what he has not
// acknowledged, and the unread.
func (m *Messages) bring(ctx context.Context, a arrival, w notice.Waiting) error {
	v := viewOf(a.Socket)
	if w.Held {
		if err := m.bringHeld(ctx, a.Socket, v); err != nil {
			return err
		}
	}
	if w.Unacked && !a.kept { // first, so that its marks are those that begin the sending again
		if err := m.bringUnacked(ctx, a.Socket, v); err != nil {
			return err
		}
	}
	if !w.Unread || a.kept {
		return nil
	}
	p, err := m.pageOf(ctx, v, notice.InboxQuery{UnreadOnly: true, Limit: pushItems})
	if err != nil || p.Unread.Total == 0 {
		return err
	}
	return m.pushInbox(a.Socket, p)
}

// bringHeld emits what was kept, to whichever sockets of the user it is for. What reaches nobody is kept on.
func (m *Messages) bringHeld(ctx context.Context, s hall.Socket, v notice.View) error {
	held, err := m.Notices.TakeHeld(ctx, v)
	if err != nil {
		return err
	}
	for i, h := range held {
		f := frame{noticeID: h.NoticeID, event: h.Event, args: h.Args, asks: asksFor(h)}
		reached := m.emit(hall.Audience{Users: []string{s.UserID}, ConferenceID: h.Scope, ClientTypes: h.ClientTypes}, f)
		if len(reached) == 0 {
			return m.Notices.Hold(ctx, held[i:]) // gone again; what is over by then is ended as all that is
		}
		if h.NoticeID != "" {
			k := markOf(h.NoticeID, reached[0], m.now())
			k.State = notice.Sent
			m.mark(k)
		}
	}
	return nil
}

// bringUnacked emits what must be acknowledged once more. What had never gone out to the user is sent again from then on
// as anything else is.
func (m *Messages) bringUnacked(ctx context.Context, s hall.Socket, v notice.View) error {
	items, err := m.Notices.Unacked(ctx, v, unackedMost)
	if err != nil {
		return err
	}
	for _, i := range items {
		f := frameOf(i.Entry)
		if len(m.emit(hall.Audience{Sessions: []string{s.SessionID}}, f)) == 0 {
			return nil // gone; when he comes again it all begins anew
		}
		if i.ToAll { // it gets a row only when he does something with it
			m.expect(errandOf(i.Entry, f), []string{s.UserID})
		}
		if i.Waits {
			k := markOf(i.ID, s, m.now())
			k.State, k.errand = notice.Sent, errandOf(i.Entry, f)
			m.mark(k)
		}
	}
	return nil
}

// pushInbox emits a page to a socket. Whatever of it still waited for the user has been sent then.
func (m *Messages) pushInbox(s hall.Socket, p Page) error {
	payload, err := encode(inboxPush{p.Unread, p.Items, p.Next != ""})
	if err != nil {
		return fmt.Errorf("push an inbox: %w", err)
	}
	if len(m.Hall.Emit(hall.Audience{Sessions: []string{s.SessionID}}, inboxEvent, payload)) == 0 {
		return nil
	}
	fixes := make([]mark, 0, len(p.Items))
	for _, i := range p.Items {
		if !i.waits {
			continue
		}
		k := markOf(i.ID, s, m.now())
		k.State = notice.Sent
		fixes = append(fixes, k)
	}
	m.mark(fixes...)
	return nil
}
