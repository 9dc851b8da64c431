package socket

import (
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/rescue"
)

func TestLimit(t *testing.T) {
	l := newLimit(10, 20)
	at := time.Unix(1000, 0)
	for i := range 20 {
		if ok, _ := l.take(at); !ok {
			t.Fatalf("event %d of a burst of 20 was refused", i)
		}
	}
	if ok, flood := l.take(at); ok || flood {
		t.Errorf("the 21st: ok %v, flood %v", ok, flood)
	}
	for range 49 { // 100 a second for 4.9 s
		at = at.Add(100 * time.Millisecond)
		for range 10 {
			if _, flood := l.take(at); flood {
				t.Fatal("a flood was declared before five seconds of it")
			}
		}
	}
	at = at.Add(200 * time.Millisecond)
	var flood bool
	for range 10 {
		_, flood = l.take(at)
	}
	if !flood {
		t.Error("five seconds of excess are no flood")
	}
	at = at.Add(10 * time.Second)
	for range 30 {
		if _, flood := l.take(at); flood {
			t.Error("a client that was calm for ten seconds floods at once")
		}
	}
}

// The lane keeps order, runs one at a time, and is bounded.
func TestLane(t *testing.T) {
	var (
		l       = lane{net: rescue.New(slog.New(slog.DiscardHandler), nil)}
		running atomic.Int32
		order   []int
		all     sync.WaitGroup
	)
	gate := make(chan struct{})
	for i := range laneLength + 1 { // one runs, the others wait
		all.Add(1)
		for !l.do(func() {
			defer all.Done()
			if running.Add(1) > 1 {
				t.Error("two at a time")
			}
			<-gate
			order = append(order, i)
			running.Add(-1)
		}) { // the first may not have been taken off the list yet
		}
	}
	for l.do(func() {}) {
		t.Fatal("the lane has no end")
	}
	close(gate)
	all.Wait()
	for i, got := range order {
		if got != i {
			t.Fatalf("the order is %v", order)
		}
	}
}

func TestReadHandshake(t *testing.T) {
	h, err := readHandshake(url.Values{"userId": {"用户.1"}, "conferenceId": {"0"}, "is_system": {" "}, "userName": {" A\x00nna\n "}})
	if err != nil || h.userID != "用户.1" || h.conferenceID != "" || h.system || h.userName != "Anna" || h.clientType != "web" {
		t.Errorf("%+v, %v", h, err)
	}
	h, err = readHandshake(url.Values{"userId": {"null"}, "is_system": {"false"}, "clientType": {"pc"}, "deviceId": {"d-1"}})
	if err != nil || h.userID != "" || !h.system || h.clientType != "pc" || h.deviceID != "d-1" {
		t.Errorf("%+v, %v", h, err)
	}
}

// Who floods comes back and floods again, and each time there was a line in the log.
func TestFloodsFillNoLog(t *testing.T) {
	var lines countingLog
	o := open(t, func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelWarn}))
	})
	for range 100 {
		o.flooded("nobody")
	}
	if n := lines.Load(); n != 1 {
		t.Errorf("%d lines", n)
	}
}

// countingLog counts lines.
type countingLog struct{ atomic.Int64 }

func (l *countingLog) Write(b []byte) (int, error) { l.Add(1); return len(b), nil }
