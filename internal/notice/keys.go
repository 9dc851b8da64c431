package notice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// breakerPause is how long Redis is left alone after it failed.
const breakerPause = time.Second

// claim answers whether a window is ours, or until when it is not free.
type claim struct {
	granted bool
	free    time.Time
}

// keys are the windows in which one kind of announcement about one user is not repeated. They live in Redis, so that
// all nodes share them, and those begun here in memory too: for when Redis is away, was emptied, or is not used.
type keys struct {
	redis   redis.UniversalClient // nil: memory only
	prefix  string
	window  time.Duration
	timeout time.Duration // bound of one call of Redis
	log     *slog.Logger
	failed  prometheus.Counter

	mu     sync.Mutex           // guards the rest; not held while Redis is asked
	ends   map[string]time.Time // windows begun by this node
	purge  int                  // size of ends at which those that are over are thrown out
	away   bool                 // Redis failed and has not answered since
	resume time.Time            // when Redis may be asked again
}

// name is the key as the contract has it. Ids may contain a colon, so two pairs can share a key; they then wait for
// each other's window, which delays what is said but does not lose it.
func (k *keys) name(p pair, event string) string {
	return k.prefix + ":conference:" + p.conference + ":" + p.user + ":" + event
}

// claim asks for the windows, all in one round trip, and answers in the order of names.
func (k *keys) claim(ctx context.Context, names []string) []claim {
	claims := make([]claim, len(names))
	var open []int // those that this node has not begun itself
	now := time.Now()
	k.mu.Lock()
	for i, name := range names {
		if end := k.ends[name]; end.After(now) {
			claims[i].free = end
		} else {
			open = append(open, i)
		}
	}
	ask := k.redis != nil && !now.Before(k.resume)
	k.mu.Unlock()
	if len(open) == 0 {
		return claims
	}
	if ask {
		wanted := make([]string, len(open))
		for j, i := range open {
			wanted[j] = names[i]
		}
		answers, err := k.ask(ctx, wanted)
		if k.heard(ctx, err); err == nil {
			for j, i := range open {
				claims[i] = answers[j]
			}
			return claims
		}
	}
	for _, i := range open {
		claims[i] = k.remember(names[i])
	}
	return claims
}

// remember claims a window in memory.
func (k *keys) remember(name string) claim {
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if end := k.ends[name]; end.After(now) {
		return claim{free: end}
	}
	k.put(name, now)
	return claim{granted: true, free: now.Add(k.window)}
}

// ask claims windows in Redis.
//
//	SET {name} 1 PX {window} NX    answers nil when the window is taken
//	PTTL {name}                    until when
func (k *keys) ask(ctx context.Context, names []string) ([]claim, error) {
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	pipe := k.redis.Pipeline()
	sets := make([]*redis.Cmd, len(names))
	ttls := make([]*redis.DurationCmd, len(names))
	for i, name := range names {
		sets[i] = pipe.Do(ctx, "set", name, 1, "px", k.window.Milliseconds(), "nx")
		ttls[i] = pipe.PTTL(ctx, name)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("claim debounce keys: %w", err)
	}
	now := time.Now()
	claims := make([]claim, len(names))
	for i := range names {
		switch err := sets[i].Err(); {
		case err == nil:
			claims[i] = claim{granted: true, free: now.Add(k.window)}
		case errors.Is(err, redis.Nil):
			claims[i].free = now.Add(max(0, min(ttls[i].Val(), k.window)))
		default:
			return nil, fmt.Errorf("claim debounce keys: %w", err)
		}
		if err := ttls[i].Err(); err != nil {
			return nil, fmt.Errorf("read debounce keys: %w", err)
		}
	}
	return claims, nil
}

// begin starts windows now, when what was claimed is about to be said, so that a slow commit does not shorten them.
func (k *keys) begin(names []string) {
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, name := range names {
		k.put(name, now)
	}
}

// put notes a window that begins now. The caller holds mu.
func (k *keys) put(name string, now time.Time) {
	if len(k.ends) >= k.purge {
		for other, end := range k.ends {
			if !end.After(now) {
				delete(k.ends, other)
			}
		}
		k.purge = max(1024, 2*len(k.ends))
	}
	k.ends[name] = now.Add(k.window)
}

// release gives windows back that were claimed at the time asked and in which nothing was said. One that may have
// ended since, and be another's by now, is left to expire.
func (k *keys) release(ctx context.Context, names []string, asked time.Time) {
	if len(names) == 0 || time.Since(asked) > k.window/2 {
		return
	}
	k.mu.Lock()
	for _, name := range names {
		delete(k.ends, name)
	}
	ask := k.redis != nil && !time.Now().Before(k.resume)
	k.mu.Unlock()
	if !ask {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	pipe := k.redis.Pipeline() // single deletes, as the keys may lie in several slots of a cluster
	for _, name := range names {
		pipe.Del(bounded, name)
	}
	_, err := pipe.Exec(bounded)
	k.heard(ctx, err)
}

// heard notes how Redis answered, and logs when that is news.
func (k *keys) heard(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // the caller gave up, which says nothing of Redis
	}
	k.mu.Lock()
	news := k.away != (err != nil)
	k.away = err != nil
	if k.away {
		k.resume = time.Now().Add(breakerPause)
	}
	k.mu.Unlock()
	if err != nil {
		k.failed.Inc()
	}
	switch {
	case news && err != nil:
		k.log.Warn("Redis is away, announcements are debounced in memory", slog.Any("error", err))
	case news:
		k.log.Info("Redis is back, announcements are debounced there")
	}
}
