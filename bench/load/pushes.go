package load

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"rollcall/bench/stats"
)

// seqDigits is the length of a number of a push, so that trees keep theirs.
const seqDigits = 10

var seqField = []byte(`"seq":"`)

// Seq returns the text by which a push is known where it arrives.
func Seq(n int) string { return fmt.Sprintf("%0*d", seqDigits, n) }

// WithSeq puts another number into a text that has one.
func WithSeq(text string, n int) string {
	i := strings.Index(text, string(seqField))
	if i < 0 {
		panic("WithSeq: the text has no number")
	}
	i += len(seqField)
	return text[:i] + Seq(n) + text[i+seqDigits:]
}

// Pushes follows messages from where they are sent to the last client that gets them. Numbers begin with first.
type Pushes struct {
	first    int
	pushes   []push
	complete chan struct{} // holds one when a push has reached all its clients
	bytes    atomic.Int64
	// Times of all deliveries, from when the push was due to the client.
	Times stats.Histogram
}

// push is one message on its way. Its fields are written by the sender and by many clients.
type push struct {
	want atomic.Int64 // clients
	sent atomic.Int64 // ns: when it was due
	last atomic.Int64 // ns
	got  atomic.Int64
}

// NewPushes follows n messages with the numbers from first on.
func NewPushes(first, n int) *Pushes {
	return &Pushes{first: first, pushes: make([]push, n), complete: make(chan struct{}, 1)}
}

// Send notes that message i, from 0, goes to so many clients and was due at a moment of Now, and returns its number.
func (p *Pushes) Send(i, clients int, due time.Duration) (seq int) {
	p.pushes[i].want.Store(int64(clients))
	p.pushes[i].sent.Store(int64(due))
	return p.first + i
}

// Await waits until message i has reached all its clients, for so long at most.
func (p *Pushes) Await(ctx context.Context, i int, most time.Duration) error {
	late := time.NewTimer(most)
	defer late.Stop()
	for one := &p.pushes[i]; one.got.Load() < one.want.Load(); {
		select {
		case <-p.complete: // of this one or one before
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-late.C:
			return fmt.Errorf("a push reached %d of %d clients within %v", one.got.Load(), one.want.Load(), most)
		}
	}
	return nil
}

// Handle is a Handler.
func (p *Pushes) Handle(_ *Conn, message []byte) {
	i := bytes.Index(message, seqField)
	if i < 0 || len(message) < i+len(seqField)+seqDigits {
		return
	}
	seq, err := strconv.Atoi(string(message[i+len(seqField):][:seqDigits]))
	if seq -= p.first; err != nil || seq < 0 || seq >= len(p.pushes) {
		return // of another run, such as the last one before this
	}
	one, now := &p.pushes[seq], int64(Now())
	p.Times.Add(time.Duration(now - one.sent.Load()))
	p.bytes.Add(int64(len(message)))
	for last := one.last.Load(); last < now && !one.last.CompareAndSwap(last, now); last = one.last.Load() {
	}
	if one.got.Add(1) == one.want.Load() {
		select {
		case p.complete <- struct{}{}:
		default:
		}
	}
}

// Due returns how many deliveries the first n messages should make.
func (p *Pushes) Due(n int) (due int64) {
	for i := range p.pushes[:n] {
		due += p.pushes[i].want.Load()
	}
	return due
}

// Done reports whether all of the first n messages arrived everywhere.
func (p *Pushes) Done(n int) bool {
	for i := range p.pushes[:n] {
		if one := &p.pushes[i]; one.got.Load() < one.want.Load() {
			return false
		}
	}
	return true
}

// Exact says what is wrong if one of the first n messages did not reach each of its clients exactly once.
func (p *Pushes) Exact(n int) error {
	missing, more, partly := 0, 0, 0
	var want, got int64
	for i := range p.pushes[:n] {
		w, g := p.pushes[i].want.Load(), p.pushes[i].got.Load()
		want, got = want+w, got+g
		switch {
		case g > w:
			more++
		case g == 0 && w > 0:
			missing++
		case g < w:
			partly++
		}
	}
	if missing+more+partly == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d deliveries: %d pushes reached nobody, %d not all, and %d somebody twice", got, want, missing, partly, more)
}

// Last returns, for each of the first n messages, the time to the last client.
func (p *Pushes) Last(n int) []time.Duration {
	times := make([]time.Duration, n)
	for i := range times {
		times[i] = time.Duration(p.pushes[i].last.Load() - p.pushes[i].sent.Load())
	}
	return times
}

// Deliveries returns how many messages arrived, and their mean length in bytes.
func (p *Pushes) Deliveries() (n int64, size float64) {
	for i := range p.pushes {
		n += p.pushes[i].got.Load()
	}
	return n, float64(p.bytes.Load()) / float64(max(n, 1))
}
