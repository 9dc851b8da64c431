// Package throttle bounds how often each of many callers may do something. It forgets callers that are quiet, so that
// strangers cannot fill it.
package throttle

import (
	"net/netip"
	"sync"
	"time"
)

// most is how many callers are told apart, about 10 MB; all beyond them share one bucket.
const most = 100_000

// Throttle allows each key so many events a second, and twice as many at once. Safe for concurrent use.
type Throttle struct {
	interval time.Duration // what one event costs; 0 is a Throttle that allows everything
	burst    time.Duration // what a full bucket holds, about 2 s; one that was not used for as long is full again
	began    time.Time
	most     int

	mu sync.Mutex // guards the rest
	// A bucket is one number: the time since began at which it will be full again, and a full one need not be remembered. Those
	// that were used since turned are in recent, those of the turn before in older; forgetting is dropping a map.
	recent, older map[string]time.Duration
	crowd         time.Duration // the bucket of those beyond most
	turned        time.Duration
}

// New returns a Throttle; perSecond 0 is one that allows everything.
func New(perSecond int) *Throttle {
	t := &Throttle{began: time.Now(), most: most, recent: map[string]time.Duration{}}
	if perSecond > 0 {
		n := time.Duration(perSecond)
		t.interval = (time.Second + n - 1) / n // rounded up, so that never more than so many pass
		t.burst = 2 * n * t.interval
	}
	return t
}

// Take counts one event of key. When it is too much, ok is false and wait says after which time it is worth another try,
// in whole seconds, at least one.
func (t *Throttle) Take(key string) (wait time.Duration, ok bool) {
	if t.interval == 0 {
		return 0, true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Since(t.began)
	t.turn(now)
	full, known := t.full(key)
	crowded := !known && len(t.recent)+len(t.older) >= t.most
	if crowded {
		full = t.crowd
	}
	full = max(full, now) + t.interval
	if over := full - now - t.burst; over > 0 {
		return (over + time.Second - 1).Truncate(time.Second), false
	}
	if crowded {
		t.crowd = full
	} else {
		t.recent[key] = full
	}
	return 0, true
}

// Back takes back a Take that has let an event of key through.
func (t *Throttle) Back(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	full, known := t.full(key)
	switch {
	case known:
		t.recent[key] = full - t.interval
	case len(t.recent)+len(t.older) >= t.most:
		t.crowd -= t.interval
	} // else it is forgotten, and so full again
}

// full returns when the bucket of key will be full again, if it is remembered. mu is held.
func (t *Throttle) full(key string) (at time.Duration, known bool) {
	if at, known = t.recent[key]; !known {
		at, known = t.older[key]
	}
	return at, known
}

// turn forgets those whose bucket is full again. mu is held.
func (t *Throttle) turn(now time.Duration) {
	quiet := now - t.turned
	if quiet < t.burst {
		return
	}
	t.older, t.recent, t.turned = t.recent, map[string]time.Duration{}, now
	if quiet >= 2*t.burst {
		t.older = nil
	}
}

// Address returns the key of a client's address: IPv6 clients own many addresses, so theirs is the network of 64 bits.
func Address(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return ip
	}
	if addr = addr.Unmap(); addr.Is4() {
		return addr.String()
	}
	network, err := addr.Prefix(64)
	if err != nil {
		return ip
	}
	return network.String()
}
