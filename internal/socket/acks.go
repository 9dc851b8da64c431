package socket

import (
	"bytes"
	"strconv"
	"sync"
)

// maxAsked is how many acknowledgements one client may owe us. Beyond it the oldest is forgotten; what must be
// acknowledged is sent again anyway.
const maxAsked = 512

// maxDigits is how long a number can be: that of the largest 64-bit one.
const maxDigits = 20

// acks are the notices that a client was asked to acknowledge, by the number that it was given. The zero value is
// ready. Safe for concurrent use.
type acks struct {
	mu    sync.Mutex // guards the rest
	asked map[uint64]string
	order []uint64
}

// expect notes that the client was asked to acknowledge a notice under a number.
func (a *acks) expect(number uint64, noticeID string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.asked == nil {
		a.asked = map[uint64]string{}
	}
	if len(a.order) == maxAsked {
		delete(a.asked, a.order[0])
		a.order = append(a.order[:0], a.order[1:]...)
	}
	a.asked[number] = noticeID
	a.order = append(a.order, number)
}

// settle returns the notice that was to be acknowledged under a number, "" if none was, and forgets it.
func (a *acks) settle(number uint64) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	noticeID := a.asked[number]
	if noticeID == "" {
		return ""
	}
	delete(a.asked, number)
	for i, n := range a.order {
		if n == number {
			a.order = append(a.order[:i], a.order[i+1:]...)
			break
		}
	}
	return noticeID
}

// expect notes that the client is about to be asked to acknowledge a notice under a number.
func (s *seat) expect(number uint64, noticeID string) {
	s.acks.expect(number, noticeID)
	if s.in != nil {
		s.in.owe()
	}
}

// acknowledged handles an ACK packet without its type: a number, and arguments that nobody asked for. One that answers
// nothing is nothing, and costs nothing.
func (s *seat) acknowledged(packet []byte) {
	digits, _, _ := bytes.Cut(packet[:min(len(packet), maxDigits+1)], []byte("["))
	number, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil {
		return
	}
	if noticeID := s.acks.settle(number); noticeID != "" {
		s.door.messages.Acked(s.socket(), noticeID)
	}
}
