package conference

import (
	"context"
	"sync"

	"rollcall/internal/tracing"
)

// maxCauses bounds what one push is linked to. A burst of more is told of by its first.
const maxCauses = 16

// causeList holds the spans for which a conference is going to be pushed. The zero value holds none.
type causeList struct {
	mu   sync.Mutex // guards list
	list []tracing.Cause
}

func (c *causeList) add(cause tracing.Cause) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cause.Known() && len(c.list) < maxCauses {
		c.list = append(c.list, cause)
	}
}

func (c *causeList) take() []tracing.Cause {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.list
	c.list = nil
	return list
}

// blame notes for whom a conference is going to be pushed, if it is in memory: another one has nobody here to push to.
func (h *House) blame(conferenceID string, cause tracing.Cause) {
	h.mu.Lock()
	k := h.keepers[conferenceID]
	h.mu.Unlock()
	if k != nil {
		k.causes.add(cause)
	}
}

// trace begins the span of one round of the keeper, within that of what caused it. A cause that comes after the round has begun may be
// told of one round too early: what matters is that none is lost.
func (k *keeper) trace() (context.Context, tracing.Span) {
	if !k.house.Tracer.On() {
		return k.house.ctx, tracing.Span{}
	}
	ctx, span := k.house.Tracer.Follow(k.house.ctx, "show conference", k.causes.take())
	span.Set(tracing.Conference, k.conferenceID)
	return ctx, span
}

// rebuild reads what is new.
func (k *keeper) rebuild(ctx context.Context, before *snapshot, written *knownRow) (*snapshot, error) {
	ctx, span := k.house.Tracer.Start(ctx, "rebuild")
	defer span.End()
	s, err := k.house.look(ctx, k.conferenceID, before, written)
	span.Fail(err)
	return s, err
}
