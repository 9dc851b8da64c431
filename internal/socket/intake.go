package socket

import (
	"bytes"
	"strconv"
	"sync"
	"time"
)

// intake decides which packets of a connection are read at all. It looks at their first bytes, before anything is
// decoded, so that what is too much costs next to nothing; and as only so many packets get past it, it is also what bounds
// the library's own queue of a socket, which has no bound, with all that a packet starts. Like the outbox it outlives the
// upgrade from polling to WebSocket, during which both transports are read. Safe for concurrent use.
type intake struct {
	answers  *outbox            // where an event that was too much is answered
	rejected func(event string) // counts it

	mu     sync.Mutex // guards the rest
	events limit
	others limit
	owed   int // acknowledgements that we asked for, as many as acks knows
}

// othersPerEvent is how many times more than events other packets may be: heartbeats, and what else a client of good
// manners sends once in a while. Acknowledgements that we asked for do not count, as they are as many as we like.
const othersPerEvent = 10

func newIntake(perSecond int, answers *outbox, rejected func(string)) *intake {
	return &intake{
		answers: answers, rejected: rejected,
		events: newLimit(perSecond, 2*perSecond),
		others: newLimit(othersPerEvent*perSecond, 2*othersPerEvent*perSecond),
	}
}

// headLength is how many bytes of a packet are looked at: type, number and name of any event that we know.
const headLength = 64

// owe notes that the client was asked for an acknowledgement.
func (i *intake) owe() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.owed = min(i.owed+1, maxAsked)
}

// take counts a packet that begins with head. ok is false if it is not to be read; flood is true if its connection is to be
// closed. An event that is too much is answered here.
func (i *intake) take(head []byte) (ok, flood bool) {
	h := readHead(head)
	if ok, flood = i.count(h); ok || flood || !h.event {
		return ok, flood
	}
	i.rejected(h.name)
	if h.asked {
		i.answers.push(answerFrame(h.ack, tooMany))
	}
	return false, false
}

func (i *intake) count(h head) (ok, flood bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case h.event:
		return i.events.take(time.Now())
	case h.answer && i.owed > 0:
		i.owed--
		return true, false
	}
	return i.others.take(time.Now())
}

// tooMany answers an event that was too much.
const tooMany = `{"error":{"code":"rate_limited","message":"too many events"},"ok":false}`

// head is what the first bytes of a packet say.
type head struct {
	event  bool
	answer bool // to something that we asked
	ack    ackID
	asked  bool // an answer is wanted, under ack
	name   string
}

// readHead reads the beginning of an Engine.IO packet. It checks nothing: whoever sends nonsense gets nonsense back.
func readHead(packet []byte) head {
	h := head{name: otherEvent}
	if len(packet) < 2 || packet[0] != '4' {
		return h
	}
	rest := packet[2:]
	switch packet[1] {
	case '2':
	case '3', '6':
		h.answer = true
		return h
	case '5': // with binary parts, whose number comes first
		_, rest, _ = bytes.Cut(rest, []byte("-"))
	default:
		return h
	}
	h.event = true
	if n := leadingDigits(rest); n > 0 {
		if id, err := strconv.ParseUint(string(rest[:n]), 10, 64); err == nil {
			h.ack, h.asked = ackID(id), true
		}
		rest = rest[n:]
	}
	if name, ok := bytes.CutPrefix(rest, []byte(`["`)); ok {
		name, _, _ = bytes.Cut(name, []byte(`"`))
		h.name = known(string(name))
	}
	return h
}
