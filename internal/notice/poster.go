package notice

import (
	"context"
	"errors"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/hall"
	"rollcall/internal/rescue"
	"rollcall/internal/store"
)

const (
	postQueue      = 2000 // postings that wait at most
	postBatch      = 200  // postings of one transaction at most
	postDeliveries = 5000 // rows beside the log of one transaction, unless one posting has more
)

var (
	errManyWait = errors.New("too many postings wait already")
	errStopped  = errors.New("postings are no longer taken")
)

// poster writes the postings of many callers in common transactions. run owns it; it takes what waits when it is free,
// so that what comes while one transaction commits makes up the next.
type poster struct {
	db      *store.DB
	net     *rescue.Net
	forward func(context.Context, []hall.Letter) error
	queue   chan *waiter
	most    int           // postings of one transaction
	ended   chan struct{} // closed when run has ended
}

// waiter is a caller of Post. done has room for the answer, so that a caller who has gone holds nobody up.
type waiter struct {
	ctx     context.Context
	posting Posting
	done    chan answer
}

type answer struct {
	posted Posted
	err    error
}

func newPoster(c Config) *poster {
	return &poster{db: c.DB, net: c.Net, forward: c.Forward, queue: make(chan *waiter, postQueue), most: postBatch, ended: make(chan struct{})}
}

// post has run write p and waits until that is done.
func (p *poster) post(ctx context.Context, posting Posting) (Posted, error) {
	w := &waiter{ctx: ctx, posting: posting, done: make(chan answer, 1)}
	select {
	case <-p.ended:
		return Posted{}, fault.Away(errStopped)
	default:
	}
	select {
	case p.queue <- w:
	default:
		return Posted{}, fault.Away(errManyWait)
	}
	select {
	case a := <-w.done:
		return a.posted, a.err
	case <-ctx.Done():
		return Posted{}, fault.Away(ctx.Err())
	case <-p.ended:
	}
	select {
	case a := <-w.done: // it was the last that run did
		return a.posted, a.err
	default:
		return Posted{}, fault.Away(errStopped)
	}
}

// run writes what comes until ctx ends, and then what still waits.
func (p *poster) run(ctx context.Context) {
	defer close(p.ended)
	var next *waiter
	for {
		if next == nil {
			select {
			case next = <-p.queue:
			case <-ctx.Done():
			}
		}
		if next == nil || ctx.Err() != nil {
			break
		}
		var batch []*waiter
		batch, next = p.gather(next)
		p.commit(context.WithoutCancel(ctx), batch) // a transaction is bounded by the store, and its end is waited for
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWrites)
	defer cancel()
	for last.Err() == nil {
		if next == nil {
			select {
			case next = <-p.queue:
			default:
				return
			}
		}
		var batch []*waiter
		batch, next = p.gather(next)
		p.commit(last, batch)
	}
}

// gather returns first and what else waits, as much as one transaction takes, and the one that was too much for it.
func (p *poster) gather(first *waiter) (batch []*waiter, next *waiter) {
	bytes, rows := 0, 0
	for next = first; next != nil; {
		more, beside := next.posting.weight()
		if bytes, rows = bytes+more, rows+beside; len(batch) > 0 && (bytes > batchBytes || rows > postDeliveries) {
			return batch, next
		}
		if next.ctx.Err() == nil { // who has gone was told that it failed
			batch = append(batch, next)
		}
		if next = nil; len(batch) < p.most {
			select {
			case next = <-p.queue:
			default:
			}
		}
	}
	return batch, nil
}

// weight returns the bytes that the rows of p have, about, and the number of rows beside the one of the log.
func (p Posting) weight() (bytes, rows int) {
	bytes = p.Entry.size()
	for _, h := range p.Held {
		for _, a := range h.Args {
			bytes += len(a)
		}
	}
	for _, l := range p.Letters {
		bytes += len(l.Body)
	}
	return bytes, len(p.Entry.Deliveries) + len(p.Held)
}

// commit writes a batch and answers everyone in it. One that the database refuses does not keep the others out.
func (p *poster) commit(ctx context.Context, batch []*waiter) {
	if len(batch) == 0 {
		return
	}
	var all []Posted
	err := p.net.Try("post notices", func() (err error) { // a posting that breaks it is found like one that is refused
		all, err = p.write(ctx, batch)
		return err
	})
	if err != nil && len(batch) > 1 && !fault.Is(err, fault.Unavailable) {
		half := len(batch) / 2
		p.commit(ctx, batch[:half])
		p.commit(ctx, batch[half:])
		return
	}
	for i, w := range batch {
		if err != nil {
			w.done <- answer{err: err}
			continue
		}
		p.after(w.posting, all[i])
		w.done <- answer{posted: all[i]}
	}
}

// write commits a batch in one transaction.
func (p *poster) write(ctx context.Context, batch []*waiter) (all []Posted, err error) {
	list := make([]Posting, len(batch))
	for i, w := range batch {
		list[i] = w.posting
	}
	err = p.db.Write(ctx, func(ctx context.Context, tx *gorm.DB) (err error) {
		all, err = p.writeAll(ctx, tx, list)
		return err
	})
	return all, err
}

func (p *poster) after(posting Posting, posted Posted) {
	if posted.Fresh && posting.After != nil {
		p.net.Call("tell what was posted", func() { posting.After(posted) })
	}
}
