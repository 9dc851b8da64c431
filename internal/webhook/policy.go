package webhook

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// policy says how long a failed event is tried again.
type policy struct {
	base    time.Duration // pause after the first failure
	longest time.Duration // pause at most, also when the endpoint asks for more
	dead    time.Duration // after the first attempt an event is given up
	refused time.Duration // the same for an event that the endpoint says is wrong
}

func usualPolicy(base time.Duration) policy {
	if base <= 0 {
		base = 5 * time.Second
	}
	return policy{base: base, longest: time.Hour, dead: 24 * time.Hour, refused: 10 * time.Minute}
}

// failure is what is known when an attempt has failed.
type failure struct {
	attempts   int           // with this one
	since      time.Duration // from the first attempt
	status     int           // of this attempt; 0: no answer
	before     int           // status of the attempt before
	retryAfter time.Duration // that the endpoint asked for; 0: did not
}

// next returns the pause before the next attempt, or false when there is none.
//
// An endpoint that was away for longer than the time for refused events, and comes back with one stray 404, must not lose
// what waited: for a refusal to be final, the attempt before must have been refused too.
func (p policy) next(f failure) (time.Duration, bool) {
	pause := max(jitter(p.backoff(f.attempts)), min(f.retryAfter, p.longest))
	limit := p.dead
	if refusal(f.status) {
		limit = min(p.refused, p.dead)
		if !refusal(f.before) && f.since < p.dead {
			return min(pause, limit, p.dead-f.since), true
		}
	}
	if f.since >= limit {
		return 0, false
	}
	return min(pause, limit-f.since), true // so that the last attempt falls at the limit
}

// backoff doubles with every attempt.
func (p policy) backoff(attempts int) time.Duration {
	d := p.base
	for range attempts - 1 {
		if d >= p.longest {
			break
		}
		d *= 2
	}
	return min(d, p.longest)
}

// jitter changes d by up to a tenth, so that lanes that failed together do not come back together.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}

// refusal reports whether the status says that the same request will never be taken.
func refusal(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status < 500
}

// retryAfter reads the header of an answer that may have one: seconds, or a date. 0 when there is none.
func retryAfter(status int, h http.Header, now time.Time) time.Duration {
	if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		return 0
	}
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
