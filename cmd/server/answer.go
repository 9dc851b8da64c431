package main

import (
	"bufio"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// answer is an http.ResponseWriter that knows whether an answer has begun or the connection was taken over, and that
// waits for a client that does not read only as long as its patience lasts. Like every ResponseWriter it is used by one
// goroutine at a time, but front asks it questions when a door has left it to another one.
type answer struct {
	http.ResponseWriter
	patience time.Duration

	begun atomic.Bool
	own   atomic.Bool // a door sets deadlines itself and knows better
	conn  atomic.Pointer[net.Conn]
}

// Unwrap is used by http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if status >= http.StatusOK || status == http.StatusSwitchingProtocols {
		a.begun.Store(true)
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	a.begin()
	return a.ResponseWriter.Write(b)
}

// Flush implements http.Flusher.
func (a *answer) Flush() { _ = a.FlushError() }

// FlushError is used by http.ResponseController.
func (a *answer) FlushError() error {
	a.begin()
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// SetWriteDeadline is used by http.ResponseController.
func (a *answer) SetWriteDeadline(at time.Time) error {
	a.own.Store(true)
	return http.NewResponseController(a.ResponseWriter).SetWriteDeadline(at)
}

// Hijack implements http.Hijacker, which the WebSocket library asks for.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err == nil {
		a.conn.Store(&conn)
		a.ResponseWriter = spent{} // the library keeps us for as long as the connection lives, and net/http's has large buffers
	}
	return conn, buffered, err
}

// spent is what is left of a ResponseWriter whose connection was taken over.
type spent struct{}

func (spent) Header() http.Header         { return http.Header{} }
func (spent) Write(b []byte) (int, error) { return 0, http.ErrHijacked }
func (spent) WriteHeader(int)             {}

func (a *answer) begin() {
	a.begun.Store(true)
	if !a.own.Load() {
		a.hurry()
	}
}

// hurry bounds what is written from now on, also what net/http has in its buffer. A deadline stays with the connection,
// but the next answer has its own.
func (a *answer) hurry() {
	if !a.taken() {
		_ = http.NewResponseController(a.ResponseWriter).SetWriteDeadline(time.Now().Add(a.patience)) // a writer that cannot is that of a test
	}
}

// taken reports whether the connection is not net/http's any more.
func (a *answer) taken() bool { return a.conn.Load() != nil }

// drop closes a connection that was taken over.
func (a *answer) drop() { _ = (*a.conn.Load()).Close() }
