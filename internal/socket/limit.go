package socket

import (
	"time"

	"golang.org/x/time/rate"
)

const (
	// floodAfter is how long a client may send more than it may before its connection is closed.
	floodAfter = 5 * time.Second
	// calm is how long a client must keep within its limit for a flood to be over.
	calm = time.Second
)

// limit bounds how often something may happen. It is used by one goroutine at a time.
type limit struct {
	bucket     *rate.Limiter
	began      time.Time // when the present flood began
	lastExcess time.Time
}

// newLimit allows perSecond a second and burst at once.
func newLimit(perSecond, burst int) limit {
	return limit{bucket: rate.NewLimiter(rate.Limit(perSecond), burst)}
}

// take counts one. ok is false if it is too much; flood is true if it has been too much for long.
func (l *limit) take(at time.Time) (ok, flood bool) {
	if l.bucket.AllowN(at, 1) {
		return true, false
	}
	if at.Sub(l.lastExcess) > calm {
		l.began = at
	}
	l.lastExcess = at
	return false, at.Sub(l.began) >= floodAfter
}
