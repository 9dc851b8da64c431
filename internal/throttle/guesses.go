package throttle

import (
	"context"
	"sync"
	"time"
)

// Guesses bound how much of what may be wrong, such as tokens, is looked at for one caller: how many wrong ones a second, and
// how many of any kind at once. To look may mean to ask somebody who answers only so many. Safe for concurrent use.
type Guesses struct {
	wrong  *Throttle
	atOnce int

	mu    sync.Mutex // guards turns
	turns map[string]*turns
}

// turns are those of one caller. They are forgotten with the last who wants one.
type turns struct {
	taken  chan struct{}
	wanted int // by how many, with those who have one
}

// NewGuesses returns Guesses that allow each caller so many wrong ones a second, 0 being any number, twice as many at a time,
// and look at not more than atOnce of one at the same moment.
func NewGuesses(wrongPerSecond, atOnce int) *Guesses {
	return &Guesses{wrong: New(wrongPerSecond), atOnce: atOnce, turns: map[string]*turns{}}
}

// Look calls look, which reports whether what it looked at is wrong, when it is the turn of who. When there were too many wrong
// ones, or ctx ends before it is his turn, look is not called, ok is false and wait says after which time it is worth another
// try. What is under way counts as wrong until it is known not to be: many at once are no way around the bound.
func (g *Guesses) Look(ctx context.Context, who string, look func() (wrong bool)) (wait time.Duration, ok bool) {
	if wait, ok := g.wrong.Take(who); !ok {
		return wait, false
	}
	wrong := false
	defer func() {
		if !wrong {
			g.wrong.Back(who)
		}
	}()
	leave, ok := g.enter(ctx, who)
	if !ok {
		return time.Second, false
	}
	defer leave()
	wrong = look()
	return 0, true
}

// enter waits for a turn of who, which ends when leave is called.
func (g *Guesses) enter(ctx context.Context, who string) (leave func(), ok bool) {
	t := g.want(who)
	select {
	case t.taken <- struct{}{}:
		return func() { <-t.taken; g.done(who) }, true
	case <-ctx.Done():
		g.done(who)
		return nil, false
	}
}

func (g *Guesses) want(who string) *turns {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.turns[who]
	if t == nil {
		t = &turns{taken: make(chan struct{}, g.atOnce)}
		g.turns[who] = t
	}
	t.wanted++
	return t
}

func (g *Guesses) done(who string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.turns[who].wanted--; g.turns[who].wanted == 0 {
		delete(g.turns, who)
	}
}
