package chaos_test

import (
	"fmt"
	"net"
	"net/url"
	"sync/atomic"
	"time"

	"rollcall/internal/clienttest"
)

// passes is a client that the harness does not follow: it comes to a node and is let in.
func passes(base, user, conference string) (*clienttest.Wire, error) {
	link, err := clienttest.DialWire(base, url.Values{"userId": {user}, "conferenceId": {conference}})
	if err != nil {
		return nil, err
	}
	if err := link.Admitted(30 * time.Second); err != nil {
		link.Vanish()
		return nil, err
	}
	return link, nil
}

// churns lets n clients pass through, on the nodes in turn: every other one says goodbye. One that is not let in fails the test.
func (town *town) churns(n int, who func(i int) (user, conference string)) {
	town.t.Helper()
	var failed atomic.Pointer[error]
	parallel(n, 32, func(i int) {
		user, conference := who(i)
		link, err := passes(town.addresses()[0], user, conference)
		if err != nil {
			failed.CompareAndSwap(nil, &err)
			return
		}
		if i/len(town.nodes)%2 == 0 {
			link.Leave()
		} else {
			link.Vanish()
		}
	})
	if err := failed.Load(); err != nil {
		town.t.Errorf("a client was not let in: %v", *err)
	}
}

// waitsFor waits until cond holds and reports whether it did.
func (town *town) waitsFor(most time.Duration, cond func() bool) bool {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for limit := time.After(most); !cond(); {
		select {
		case <-tick.C:
		case <-limit:
			return cond()
		}
	}
	return true
}

func values(query [][2]string) url.Values {
	q := url.Values{}
	for _, kv := range query {
		q.Set(kv[0], kv[1])
	}
	return q
}

// halfHandshake asks for a WebSocket and is gone before the answer.
func halfHandshake(base string, query [][2]string) error {
	q := values(append(query, [2]string{"EIO", "4"}, [2]string{"transport", "websocket"}))
	host := hostOf(base)
	conn, err := net.Dial("tcp", host)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "GET /socket.io/?%s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", q.Encode(), host)
	return err
}
