package socket

import "sync"

// verdict is what became of a frame offered to an outbox.
type verdict int

const (
	queued verdict = iota
	stale          // the receiver has seen this version or a later one
	gap            // the receiver has not seen the version that this frame follows, or has so much before it that a latest one is better
	closed         // nobody will take frames any more, this one included
)

// drain is the transport that empties an outbox.
type drain interface {
	// ready says that frames wait. It is called without locks held and must not block.
	ready()
	// overflow says that the receiver is too slow for its budget and must go. It must not block.
	overflow()
}

// outbox is the bounded queue of frames towards one client. It outlives the upgrade from polling to WebSocket, so
// that nothing is lost or reordered there. Safe for concurrent use.
type outbox struct {
	max int // bytes that may wait, without the one frame of each stream that only its latest matters of

	mu      sync.Mutex // guards everything below
	drain   drain
	waiting []*frame
	spare   []*frame // empty: the list that was taken before, to be used again
	bytes   int
	seen    map[string]int64 // the newest version queued, by stream
	held    bool             // nothing is taken until release
	closed  bool
}

func newOutbox(limit int, d drain) *outbox { return &outbox{max: limit, drain: d} }

// push queues f and has it written.
func (o *outbox) push(f *frame) verdict {
	v := o.queue(f)
	if v == queued {
		o.flush()
	}
	return v
}

// queue queues f; flush has to follow. If more bytes than allowed wait already, the client is given up: it comes back and starts from a
// snapshot. Frames that make others superfluous do not count, as one of a stream waits at most; and a frame that is
// too large all by itself still goes to a client for whom nothing waits, or nobody could ever enter its conference.
func (o *outbox) queue(f *frame) verdict {
	o.mu.Lock()
	before := o.bytes
	v := o.admit(f)
	d, over := o.drain, v == queued && !f.latest && before > o.max
	if over { // the frame goes with all the others
		o.shut()
		v = closed
	}
	o.mu.Unlock()
	if over {
		d.overflow()
	}
	return v
}

// flush says that frames wait, if any do.
func (o *outbox) flush() {
	o.mu.Lock()
	d, any := o.drain, len(o.waiting) > 0
	o.mu.Unlock()
	if any {
		d.ready()
	}
}

// admit decides about f and queues it. mu is held.
func (o *outbox) admit(f *frame) verdict {
	if o.closed {
		return closed
	}
	if f.stream != "" {
		seen, any := o.seen[f.stream]
		if any && (f.version < seen || f.version == seen && !f.again) {
			return stale
		}
		if f.follows && (!any || f.from != seen) || f.instead > 0 && o.behind(f.stream)+len(f.data) > f.instead {
			return gap
		}
		if o.seen == nil {
			o.seen = make(map[string]int64, 2)
		}
		o.seen[f.stream] = f.version
		if f.latest {
			o.supersede(f.stream)
		}
	}
	o.waiting = append(o.waiting, f)
	if !f.latest {
		o.bytes += len(f.data)
	}
	return queued
}

// behind returns how many bytes of a stream wait that a latest frame would make superfluous. mu is held.
func (o *outbox) behind(stream string) (bytes int) {
	for _, w := range o.waiting {
		if w.stream == stream && !w.latest {
			bytes += len(w.data)
		}
	}
	return bytes
}

// supersede drops waiting frames of a stream. The newer one goes to the end of the queue, so that its version
// is not seen before frames that were queued earlier. mu is held.
func (o *outbox) supersede(stream string) {
	kept := o.waiting[:0]
	for _, w := range o.waiting {
		if w.stream != stream {
			kept = append(kept, w)
			continue
		}
		if !w.latest {
			o.bytes -= len(w.data)
		}
	}
	clear(o.waiting[len(kept):])
	o.waiting = kept
}

// forget lets a stream begin anew, for a socket that leaves a conference and may come back to it.
func (o *outbox) forget(stream string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.seen, stream)
}

// take empties the queue for d, if d is who drains it.
func (o *outbox) take(d drain) []*frame {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.drain != d || o.held || len(o.waiting) == 0 {
		return nil
	}
	frames := o.waiting
	o.waiting, o.spare, o.bytes = o.spare, nil, 0
	return frames
}

// reuse gives back a list that take returned, for what is pushed later: most of the time it is one frame after another.
func (o *outbox) reuse(frames []*frame) {
	clear(frames)
	if cap(frames) > 8 { // a crowd once is no reason to keep room for it
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.spare = frames[:0]
}

// hold keeps what is pushed from now on until release.
func (o *outbox) hold() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = true
}

// release is the end of hold. Without one it does nothing.
func (o *outbox) release() {
	o.mu.Lock()
	was, d := o.held, o.drain
	o.held = false
	o.mu.Unlock()
	if was {
		d.ready()
	}
}

// hand makes d the one who drains from now on.
func (o *outbox) hand(d drain) {
	o.mu.Lock()
	o.drain = d
	o.mu.Unlock()
	d.ready()
}

// holder returns who drains it.
func (o *outbox) holder() drain {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.drain
}

// close ends the queue if d is who drains it. What waits is dropped.
func (o *outbox) close(d drain) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.drain == d {
		o.shut()
	}
}

// finish refuses further frames and leaves those that wait to be taken. mu must not be held.
func (o *outbox) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
}

func (o *outbox) shut() {
	o.closed, o.waiting, o.spare, o.bytes = true, nil, nil, 0
}

// idle reports whether there is nothing to take.
func (o *outbox) idle() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.held || len(o.waiting) == 0
}
