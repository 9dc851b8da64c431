package load

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// serve is a server that lets one client in, and then hands its connection to the test.
func serve(t *testing.T, first ...string) (addr string, conns <-chan net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	handed := make(chan net.Conn, 16)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
				return
			}
			answer := "HTTP/1.1 101 Switching Protocols\r\n\r\n"
			for _, p := range first { // in one piece with the answer
				answer += string(served(p))
			}
			_, _ = c.Write([]byte(answer))
			handed <- c
		}
	}()
	return l.Addr().String(), handed
}

// said reads n frames of a client.
func said(t *testing.T, c net.Conn, n int) (all []string) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	r := bufio.NewReader(c)
	for range n {
		head := make([]byte, 6)
		for i := range head {
			b, err := r.ReadByte()
			if err != nil {
				t.Fatalf("after %q: %v", all, err)
			}
			head[i] = b
		}
		payload := make([]byte, head[1]&0x7f)
		for i := range payload {
			b, _ := r.ReadByte()
			payload[i] = b ^ head[2+i%4]
		}
		all = append(all, string(payload))
	}
	return all
}

// A client gets in, answers heartbeats, gets what comes in pieces and together, and says goodbye.
func TestFleet(t *testing.T) {
	addr, conns := serve(t, `0{"sid":"x"}`, `40{"sid":"y"}`, "42early")
	var got []string
	done := make(chan struct{})
	f := NewFleet(func(_ *Conn, message []byte) {
		text := string(message)
		if got = append(got, text[:min(10, len(text))]+fmt.Sprint(len(text))); len(got) == 4 {
			close(done)
		}
	})
	if err := f.Add(t.Context(), 1, 1, func(int) Way { return Way{Addr: addr, Target: "/socket.io/", Engine: true} }); err != nil {
		t.Fatal(err)
	}
	c := <-conns
	long := bytes.Join([][]byte{served("42" + strings.Repeat("a", 200_000)), served("2"), served("42b"), served("42c")}, nil)
	for rest := long; len(rest) > 0; {
		n := min(len(rest), 1<<16+1)
		if _, err := c.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	<-done
	if want := "42early7 42aaaaaaaa200002 42b3 42c3"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if f.Received() < int64(len(long)) || f.Err() != nil {
		t.Errorf("received %d of %d bytes, %v", f.Received(), len(long), f.Err())
	}
	f.Close()
	if s := said(t, c, 4); strings.Join(s, " ") != "40 3 41 \x03\xe8" {
		t.Errorf("the client said %q", s)
	}
	if f.Received() < int64(len(long)) {
		t.Error("what was received is forgotten with the client")
	}
}

// A client that is refused, or lost, is told.
func TestFleetFails(t *testing.T) {
	refusing, _ := serve(t, `0{"sid":"x"}`, `44{"message":"no"}`)
	f := NewFleet(func(*Conn, []byte) {})
	err := f.Add(t.Context(), 3, 2, func(int) Way { return Way{Addr: refusing, Target: "/", Engine: true} })
	if err == nil || !strings.Contains(err.Error(), `refused: {"message":"no"}`) {
		t.Errorf("got %v", err)
	}
	plain, conns := serve(t)
	if err := f.Add(t.Context(), 1, 1, func(int) Way { return Way{Addr: plain, Target: "/"} }); err != nil {
		t.Fatal(err)
	}
	_ = (<-conns).Close()
	if err := Until(t.Context(), 5*time.Second, func() bool { return f.Err() != nil }); err != nil {
		t.Error("nobody noticed that the client was lost")
	}
	f.Close()
}

func TestUntil(t *testing.T) {
	if err := Until(t.Context(), time.Millisecond, func() bool { return false }); err == nil {
		t.Error("what never happened happened")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Until(ctx, time.Hour, func() bool { return false }); err == nil {
		t.Error("it did not stop")
	}
}
