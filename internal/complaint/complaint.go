// Package complaint keeps what goes wrong in the background, again and again, from filling the log.
package complaint

import (
	"sync"
	"time"
)

// Every is the least time between two complaints of Rarely about the same.
const Every = 10 * time.Second

// Rarely lets a complaint pass that was not made for a while. What it is asked about must be few things, as it
// forgets none. The zero value is ready; safe for concurrent use.
type Rarely struct {
	mu   sync.Mutex // guards last
	last map[string]time.Time
}

// Again reports whether it is time to complain about what, for the first time or once more.
func (r *Rarely) Again(what string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.last[what]) < Every {
		return false
	}
	if r.last == nil {
		r.last = map[string]time.Time{}
	}
	r.last[what] = time.Now()
	return true
}

// Once lets one complaint pass for as long as something fails. What it is told of must be few things. The zero value is
// ready; safe for concurrent use.
type Once struct {
	mu    sync.Mutex // guards fails
	fails map[string]bool
}

// Begins notes whether something fails, and reports whether that has just begun.
func (o *Once) Begins(what string, fails bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fails == nil {
		o.fails = map[string]bool{}
	}
	begins := fails && !o.fails[what]
	o.fails[what] = fails
	return begins
}
