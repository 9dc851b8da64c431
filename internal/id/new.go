package id

import (
	"crypto/rand"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// fresh makes ids that sort by time, also within one millisecond. mu guards entropy.
var fresh = struct {
	mu      sync.Mutex
	entropy *ulid.MonotonicEntropy
}{entropy: ulid.Monotonic(rand.Reader, 0)}

// New returns a new identifier of 26 characters (a ULID). Ids of one process sort in the order they were
// made; ids of several processes sort by their clocks, to the millisecond.
func New() string {
	fresh.mu.Lock()
	defer fresh.mu.Unlock()
	return ulid.MustNew(ulid.Timestamp(time.Now()), fresh.entropy).String()
}

// At returns a new identifier as New would have made at t, which may lie ahead. Those of one millisecond have no order.
func At(t time.Time) string {
	var u ulid.ULID
	if err := u.SetTime(ulid.Timestamp(t)); err != nil {
		return New()
	}
	_, _ = rand.Read(u[6:]) // never fails, says its documentation
	return u.String()
}

// Floor returns the smallest identifier that New could have made at t, for asking "from this time on".
func Floor(t time.Time) string {
	var u ulid.ULID
	if err := u.SetTime(ulid.Timestamp(t)); err != nil {
		return ulid.Zero.String()
	}
	return u.String()
}
