package conference

import (
	"context"
	"errors"
	"sync"

	"rollcall/internal/fault"
	"rollcall/internal/presence"
)

// bars knows who is kept out. All who arrive while one look at the table is under way share the next one: nobody is let
// in by an answer older than his question, and a storm of joins is a handful of queries, whoever is barred.
type bars struct {
	house *House

	mu      sync.Mutex // guards the rest
	looking bool
	next    *barsLook // nil if nobody waits
}

// barsLook is one look at the table, for users. done is closed when the rest is known.
type barsLook struct {
	users []string
	done  chan struct{}
	found presence.Bars
	err   error
}

// errBarred is returned to whoever is kept out for a while.
var errBarred = fault.New(fault.Forbidden, "forbidden", "you may not come in for now")

// mayEnter refuses who is barred from a conference, or from everywhere.
func (h *House) mayEnter(ctx context.Context, s presence.Session) error {
	found, err := h.bars.of(ctx, s.UserID)
	if err == nil && found.Keep(s.UserID, s.ConferenceID) {
		err = errBarred
	}
	return err
}

// of returns bars, those of a user among them.
func (b *bars) of(ctx context.Context, userID string) (presence.Bars, error) {
	b.mu.Lock()
	if b.next == nil {
		b.next = &barsLook{done: make(chan struct{})}
	}
	look := b.next
	look.users = append(look.users, userID)
	if !b.looking {
		if b.looking = b.house.working.Go(b.work); !b.looking {
			b.next = nil
			b.mu.Unlock()
			return nil, fault.Away(errors.New("the house is closed"))
		}
	}
	b.mu.Unlock()
	select {
	case <-look.done:
		return look.found, look.err
	case <-ctx.Done():
		return nil, fault.Away(context.Cause(ctx))
	}
}

// work looks until nobody waits.
func (b *bars) work() {
	for {
		b.mu.Lock()
		look := b.next
		b.next = nil
		if look == nil {
			b.looking = false
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		look.err = errors.New("it panicked")
		b.house.guard("look for bars", func() { look.found, look.err = b.house.Presence.Bars(b.house.ctx, look.users) })
		close(look.done)
	}
}
