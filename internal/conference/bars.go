package conference

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/presence"
)

// bars knows whether anybody at all is kept out. All who arrive while one look at the table is under way share the
// next one: nobody is let in by an answer older than his arrival, and a storm of joins is a handful of queries.
type bars struct {
	house *House

	mu      sync.Mutex // guards the rest
	looking bool
	next    *barsLook // nil if nobody waits
}

// barsLook is one look at the table. done is closed when the rest is known.
type barsLook struct {
	done chan struct{}
	any  bool
	err  error
}

// errBarred is returned to whoever is kept out for a while.
var errBarred = fault.New(fault.Forbidden, "forbidden", "you may not come in for now")

// mayEnter refuses who is barred from a conference, or from everywhere.
func (h *House) mayEnter(ctx context.Context, s presence.Session) error {
	anybody, err := h.bars.anybody(ctx)
	if err != nil || !anybody {
		return err
	}
	barred, err := h.Presence.Barred(ctx, s.UserID, s.ConferenceID)
	if err == nil && barred {
		err = errBarred
	}
	return err
}

// anybody reports whether anybody is barred now.
func (b *bars) anybody(ctx context.Context) (bool, error) {
	b.mu.Lock()
	if b.next == nil {
		b.next = &barsLook{done: make(chan struct{})}
	}
	look := b.next
	if !b.looking {
		if b.looking = b.house.working.Go(b.work); !b.looking {
			b.next = nil
			b.mu.Unlock()
			return false, fault.Away(errors.New("the house is closed"))
		}
	}
	b.mu.Unlock()
	select {
	case <-look.done:
		return look.any, look.err
	case <-ctx.Done():
		return false, fault.Away(context.Cause(ctx))
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
		b.house.guard("look for bars", func() { look.any, look.err = b.read() })
		close(look.done)
	}
}

func (b *bars) read() (bool, error) {
	var found []string
	err := b.house.DB.Read(b.house.ctx, func(_ context.Context, tx *gorm.DB) error {
		return tx.Table("presence_bars").Limit(1).Pluck("user_id", &found).Error
	})
	if err != nil {
		return false, fmt.Errorf("look for bars: %w", err)
	}
	return len(found) > 0, nil
}
