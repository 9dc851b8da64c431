package system_test

import (
	"strings"
	"testing"

	"rollcall/internal/clienttest"
	"rollcall/internal/storetest"
)

// times counts how often a client got a notice.
func times(c *clienttest.Client, id string) (n int) {
	for _, e := range c.Events("notice") {
		if told(id)(e.Args) {
			n++
		}
	}
	return n
}

// insistent posts a notice to ben that wants an acknowledgement.
func (s *server) insistent(body string) (id string) {
	s.t.Helper()
	var sent struct{ ID string }
	s.must("POST", "/api/v1/notices", map[string]any{"to": map[string]any{"users": []string{"ben"}}, "body": body, "requireAck": true}, &sent)
	return sent.ID
}

// ackedOnce waits until the ledger says that ben acknowledged a notice, and looks that it says so once.
func (s *server) ackedOnce(id string) {
	s.t.Helper()
	(&field{server: s}).delivered(id, "ben", "acked")
	var entry struct{ Audience, Acked int }
	storetest.Eventually(s.t, func() bool {
		s.must("GET", "/api/v1/notices/"+id, nil, &entry)
		return entry.Acked == 1 && entry.Audience == 1
	}, "the row of the log does not say acked once")
}

// What is not acknowledged is sent again, until any device of the user acknowledges it.
func TestAckLost(t *testing.T) {
	storetestEach(t, func(t *testing.T, dialect string) {
		s := launch(t, dialect, settings{"notice.ack_timeout": "300ms", "presence.grace": "1s"})
		driver := clienttest.Start(t)
		o := clienttest.Options{URL: s.base, Query: map[string]string{"userId": "ben"}}
		mute, second := driver.Connect(t, o), driver.Connect(t, o)
		id := s.insistent("the first")
		storetest.Eventually(t, func() bool { return times(mute, id) >= 2 }, "what was not acknowledged was not sent again")
		second.Answer(t, second.Wait(t, "notice", told(id)))
		s.ackedOnce(id)
		atAck := times(mute, id)

		// By the time that a later one was sent again three times, the first would have been twice more.
		other := s.insistent("the second")
		storetest.Eventually(t, func() bool { return times(mute, other) >= 4 }, "the second one was not sent again")
		if n := times(mute, id); n > atAck+1 { // one may have been on its way
			t.Errorf("sent %d times, %d of them after it was acknowledged", n, n-atAck)
		}
		second.Answer(t, second.Wait(t, "notice", told(other)))
		s.ackedOnce(other)
		s.ackedOnce(id)
		storetest.Show(t, "an acknowledgement that never came: sent %d times under one id until another device gave it, not again, and the ledger says acked once", atAck)
	})
}

// An acknowledgement that the network lost is given again when the client is back.
func TestAckCutOff(t *testing.T) {
	storetestEach(t, func(t *testing.T, dialect string) {
		s := launch(t, dialect, settings{"notice.ack_timeout": "1m", "presence.grace": "1s"})
		line := storetest.NewLine(t, strings.TrimPrefix(s.base, "http://"))
		ben := clienttest.Start(t).Connect(t, clienttest.Options{URL: "http://" + line.Addr(), Reconnect: true, Query: map[string]string{"userId": "ben"}})
		id := s.insistent("cut")
		first := ben.Wait(t, "notice", told(id))
		line.Cut()
		ben.Answer(t, first)
		ben.WaitDisconnect(t)
		(&field{server: s}).delivered(id, "ben", "sent")
		line.Mend()
		ben.WaitConnect(t)
		ben.Answer(t, ben.Wait(t, "notice", told(id)))
		s.ackedOnce(id)
		if n := times(ben, id); n != 2 {
			t.Errorf("the client that came back got it %d times in all, want 2", n)
		}
		ben.Abort(t)
		ben.WaitConnect(t)
		other := s.insistent("after")
		ben.Answer(t, ben.Wait(t, "notice", told(other)))
		s.ackedOnce(other)
		if n := times(ben, id); n != 2 {
			t.Errorf("what is acknowledged came again: %d times in all, want 2", n)
		}
		storetest.Show(t, "an acknowledgement cut off with the line: the notice came once more on return, and the ledger says acked once")
	})
}
