package plantest

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// Statement is what a client said to the database, on one of its connections.
type Statement struct {
	Conn int
	Text string
}

// Tap is a TCP address that leads to a MariaDB and notes every statement that passes. The text is complete, with its arguments: the
// service writes them into it. It is safe for concurrent use.
type Tap struct {
	target   string
	listener net.Listener
	copiers  sync.WaitGroup

	mu    sync.Mutex // guards the rest
	heard []Statement
	conns []net.Conn
}

// NewTap returns a tap before the server of a data source name, and the name that leads through it. It ends with t.
func NewTap(t testing.TB, dsn string) (*Tap, string) {
	t.Helper()
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatalf("read the name of the test database: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	tap := &Tap{target: c.Addr, listener: l}
	tap.copiers.Go(tap.accept)
	t.Cleanup(tap.close)
	c.Addr = l.Addr().String()
	return tap, c.FormatDSN()
}

// Heard returns the statements so far, in the order in which they came by, without the first skip of them.
func (t *Tap) Heard(skip int) []Statement {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.heard[skip:len(t.heard):len(t.heard)]
}

// Len returns how many statements came by.
func (t *Tap) Len() int { return len(t.Heard(0)) }

func (t *Tap) close() {
	_ = t.listener.Close()
	t.mu.Lock()
	for _, c := range t.conns {
		_ = c.Close()
	}
	t.mu.Unlock()
	t.copiers.Wait()
}

func (t *Tap) accept() {
	for n := 0; ; n++ {
		near, err := t.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", t.target)
		if err != nil {
			_ = near.Close()
			continue
		}
		t.mu.Lock()
		t.conns = append(t.conns, near, far)
		t.mu.Unlock()
		hang := func() { _, _ = near.Close(), far.Close() }
		t.copiers.Go(func() { defer hang(); _, _ = io.Copy(near, far) })
		t.copiers.Go(func() { defer hang(); t.listen(n, near, far) })
	}
}

// The commands of the protocol that carry a statement. One that is prepared has question marks, which EXPLAIN will not take: it is
// noticed there, not overheard.
const (
	comQuery   = 3
	comPrepare = 22
)

// listen copies what a client sends, packet by packet. A packet that is the first of its exchange is a command.
func (t *Tap) listen(conn int, client io.Reader, server io.Writer) {
	in := bufio.NewReader(client)
	for {
		var head [4]byte // three bytes of length, one of the number in the exchange
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return
		}
		number := head[3]
		head[3] = 0
		body := make([]byte, binary.LittleEndian.Uint32(head[:]))
		if _, err := io.ReadFull(in, body); err != nil {
			return
		}
		if number == 0 && len(body) > 0 && (body[0] == comQuery || body[0] == comPrepare) {
			t.mu.Lock()
			t.heard = append(t.heard, Statement{conn, string(body[1:])})
			t.mu.Unlock()
		}
		head[3] = number
		if _, err := server.Write(append(head[:], body...)); err != nil {
			return
		}
	}
}
