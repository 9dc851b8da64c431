package storetest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Line is a TCP address that leads to a server until it is cut: for tests of what happens while the database
// or Redis is away. It is safe for concurrent use.
type Line struct {
	target   string
	listener net.Listener
	copiers  sync.WaitGroup

	mu    sync.Mutex // guards cut and conns
	cut   bool
	conns map[net.Conn]bool
}

// NewLine returns a line to the server at host:port target. It ends with t.
func NewLine(t testing.TB, target string) *Line {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	line := &Line{target: target, listener: l, conns: map[net.Conn]bool{}}
	line.copiers.Go(line.accept)
	t.Cleanup(func() {
		_ = l.Close()
		line.Cut()
		line.copiers.Wait()
	})
	return line
}

// Addr returns host:port where the line begins.
func (l *Line) Addr() string { return l.listener.Addr().String() }

// Cut breaks every connection and every later one, as a server that was killed would.
func (l *Line) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for c := range l.conns {
		_ = c.Close()
	}
}

// Mend lets new connections through again.
func (l *Line) Mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
}

func (l *Line) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", l.target)
		if err != nil {
			_ = near.Close()
			continue
		}
		l.copiers.Go(func() { l.carry(near, far) })
		l.copiers.Go(func() { l.carry(far, near) })
	}
}

// carry copies one direction and takes the other one down when it ends.
func (l *Line) carry(to, from net.Conn) {
	defer func() {
		_, _ = to.Close(), from.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.conns, from)
	}()
	l.mu.Lock()
	l.conns[from] = true
	cut := l.cut
	l.mu.Unlock()
	if !cut {
		_, _ = io.Copy(to, from)
	}
}
