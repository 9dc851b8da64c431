package chaos_test

import (
	"io"
	"net"
	"sync"

	"rollcall/internal/crew"
)

// balancer is one address for all nodes of a town, for clients that know only one, such as those of npm: it takes turns, and passes
// on to the next node when one refuses or is known not to answer. It copies bytes and knows nothing of HTTP.
type balancer struct {
	town     *town
	listener net.Listener
	hands    crew.Crew

	mu    sync.Mutex // guards conns; nil when the balancer is closed
	conns map[net.Conn]bool
}

// balances returns http://127.0.0.1:port of a balancer that ends with the test.
func (town *town) balances() (base string) {
	town.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		town.t.Fatal(err)
	}
	b := &balancer{town: town, listener: l, conns: map[net.Conn]bool{}}
	b.hands.Go(b.accept)
	town.t.Cleanup(b.close)
	return "http://" + l.Addr().String()
}

func (b *balancer) close() {
	_ = b.listener.Close()
	b.mu.Lock()
	for c := range b.conns {
		_ = c.Close()
	}
	b.conns = nil
	b.mu.Unlock()
	b.hands.Close()
}

func (b *balancer) accept() {
	for {
		near, err := b.listener.Accept()
		if err != nil {
			return
		}
		if !b.hands.Go(func() { b.carry(near) }) {
			_ = near.Close()
		}
	}
}

// carry connects one client with a node and copies until one of them ends.
func (b *balancer) carry(near net.Conn) {
	defer near.Close()
	far := b.dial()
	if far == nil {
		return
	}
	defer far.Close()
	if !b.keep(near, far) {
		return
	}
	defer b.drop(near, far)
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(near, far)
		_ = near.Close()
	})
	_, _ = io.Copy(far, near)
	_ = far.Close()
	back.Wait()
}

func (b *balancer) dial() net.Conn {
	turn := int(b.town.next.Add(1))
	nodes := b.town.living()
	for i := range nodes {
		if c, err := net.Dial("tcp", hostOf(nodes[(turn+i)%len(nodes)].base)); err == nil {
			return c
		}
	}
	return nil
}

func (b *balancer) keep(conns ...net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range conns {
		if b.conns == nil {
			return false
		}
		b.conns[c] = true
	}
	return true
}

func (b *balancer) drop(conns ...net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range conns {
		delete(b.conns, c)
	}
}
