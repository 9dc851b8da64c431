package socket

import (
	"net"
	"sync"
	"syscall"
	"time"
)

// stream is the connection under a WebSocket. Where it is plain TCP, nothing is kept in memory to read into while nothing comes, and
// it can be written to without waiting.
type stream struct {
	net.Conn
	raw syscall.RawConn // nil: TLS, or a system on which this is not done
}

func newStream(c net.Conn) *stream {
	s := &stream{Conn: c}
	if tcp, ok := c.(*net.TCPConn); ok && readsWithoutWaiting {
		if raw, err := tcp.SyscallConn(); err == nil {
			s.raw = raw
		}
	}
	return s
}

// bufferSize is how much is read at once.
const bufferSize = 4096

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// first waits until something comes and reads it into a buffer that the caller gives back to buffers. There is none after an error.
func (s *stream) first() (b *[bufferSize]byte, n int, err error) {
	if s.raw == nil {
		b = buffers.Get().(*[bufferSize]byte)
		n, err = s.Read(b[:])
	} else {
		b, n, err = s.readReady()
	}
	if err != nil && b != nil {
		buffers.Put(b)
		b = nil
	}
	return b, n, err
}

// writeAll writes pieces and waits until all of them are on their way, for no longer than most.
func (s *stream) writeAll(most time.Duration, pieces ...[]byte) error {
	if err := s.SetWriteDeadline(time.Now().Add(most)); err != nil {
		return err
	}
	rest := net.Buffers(pieces)
	if _, err := rest.WriteTo(s.Conn); err != nil {
		return err
	}
	return s.SetWriteDeadline(time.Time{}) // an old one would forbid to write without waiting
}
