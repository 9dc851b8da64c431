package load

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// patience bounds the handshake, up to the answer of the CONNECT. A storm of thousands takes its time.
const patience = 2 * time.Minute

// Way says how to connect.
type Way struct {
	Addr   string // host:port
	Target string // path and query
	Engine bool   // Socket.IO over Engine.IO 4; otherwise plain WebSocket
}

// Conn is one client.
type Conn struct {
	// Online is the last number of people that the client was shown. It belongs to the handler of the fleet.
	Online int

	engine   bool
	tcp      net.Conn
	raw      syscall.RawConn
	buf      *[]byte // nil while nothing is in it: an idle client has none
	from, to int     // what of buf was read and not yet cut
	received atomic.Int64
}

// buffers hold what one read gets: most frames are whole in one.
var buffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// dial connects and returns when the client is let in.
func dial(way Way) (*Conn, error) {
	tcp, err := net.DialTimeout("tcp", way.Addr, patience)
	if err != nil {
		return nil, err
	}
	c := &Conn{engine: way.Engine, tcp: tcp}
	if err := c.enter(way); err != nil {
		_ = tcp.Close()
		return nil, err
	}
	return c, nil
}

func (c *Conn) enter(way Way) (err error) {
	if c.raw, err = c.tcp.(*net.TCPConn).SyscallConn(); err != nil {
		return err
	}
	if err := c.tcp.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := c.upgrade(way); err != nil {
		return err
	}
	if way.Engine {
		if err := c.connect(); err != nil {
			return err
		}
	}
	return c.tcp.SetDeadline(time.Time{})
}

// upgrade makes a WebSocket of the connection. The key is always the same: nobody between here and there could cache the answer.
func (c *Conn) upgrade(way Way) error {
	_, err := fmt.Fprintf(c.tcp, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", way.Target, way.Addr)
	if err != nil {
		return err
	}
	for {
		head, _, whole := bytes.Cut(c.waiting(), []byte("\r\n\r\n"))
		if !whole {
			if err := c.fill(1); err != nil {
				return fmt.Errorf("the handshake was not answered: %w", err)
			}
			continue
		}
		if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) {
			return fmt.Errorf("the handshake was answered with %.60q", head)
		}
		c.from += len(head) + 4
		return nil
	}
}

// connect goes through OPEN and CONNECT.
func (c *Conn) connect() error {
	open, err := c.next()
	if err != nil {
		return fmt.Errorf("OPEN did not come: %w", err)
	}
	if len(open) == 0 || open[0] != '0' {
		return fmt.Errorf("the first packet is %.60q, not OPEN", open)
	}
	if err := c.send("40"); err != nil {
		return err
	}
	for {
		switch p, err := c.next(); {
		case err != nil:
			return fmt.Errorf("the CONNECT was not answered: %w", err)
		case bytes.HasPrefix(p, []byte("40")):
			return nil
		case bytes.HasPrefix(p, []byte("44")):
			return fmt.Errorf("refused: %.200s", p[2:])
		}
	}
}

func (c *Conn) waiting() []byte {
	if c.buf == nil {
		return nil
	}
	return (*c.buf)[c.from:c.to]
}

// next returns the next message, which is valid until the next call. Heartbeats are answered and not returned.
func (c *Conn) next() ([]byte, error) {
	for {
		f, whole, err := cut(c.waiting())
		if err == nil && !whole {
			err = c.fill(f.size - (c.to - c.from))
		}
		if err != nil {
			return nil, err
		}
		if !whole {
			continue
		}
		c.from += f.size
		switch {
		case f.op == opClose:
			return nil, io.EOF
		case f.op == opPing:
			_, err = c.tcp.Write(masked(opPong, string(f.payload)))
		case c.engine && len(f.payload) == 1 && f.payload[0] == '2':
			err = c.send("3")
		case f.op == opText || f.op == opBinary:
			return f.payload, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// fill reads more; there will be room for at least n bytes. The buffer is taken when there is something to read and given back
// when all of it was cut: ten thousand clients that wait hold none.
func (c *Conn) fill(n int) error {
	var (
		got    int
		failed error
	)
	err := c.raw.Read(func(fd uintptr) bool {
		for failed = syscall.EINTR; errors.Is(failed, syscall.EINTR); {
			got, failed = syscall.Read(int(fd), c.space(n))
		}
		if !errors.Is(failed, syscall.EAGAIN) {
			return true
		}
		c.release()
		return false
	})
	switch {
	case err != nil:
		return err
	case failed != nil:
		return failed
	case got == 0:
		return io.ErrUnexpectedEOF
	}
	c.to += got
	c.received.Add(int64(got))
	return nil
}

// space returns the part of the buffer that is free, at least n bytes.
func (c *Conn) space(n int) []byte {
	if c.buf == nil {
		c.buf, c.from, c.to = buffers.Get().(*[]byte), 0, 0
	}
	if c.from > 0 && len(*c.buf)-c.to < max(n, len(*c.buf)/4) {
		c.to = copy(*c.buf, (*c.buf)[c.from:c.to])
		c.from = 0
	}
	if len(*c.buf)-c.to < n {
		grown := make([]byte, c.to+n)
		copy(grown, (*c.buf)[:c.to])
		c.buf = &grown
	}
	return (*c.buf)[c.to:]
}

func (c *Conn) release() {
	if c.buf != nil && c.from == c.to {
		buffers.Put(c.buf)
		c.buf = nil
	}
}

// send says a packet of Engine.IO.
func (c *Conn) send(packet string) error {
	_, err := c.tcp.Write(masked(opText, packet))
	return err
}

// leave says goodbye and closes.
func (c *Conn) leave() {
	if c.engine {
		_ = c.send("41")
	}
	_, _ = c.tcp.Write(masked(opClose, "\x03\xe8"))
	_ = c.tcp.Close()
}
