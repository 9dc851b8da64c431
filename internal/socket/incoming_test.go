package socket

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// masked makes a frame as clients send it. first is its first byte: the kind, and 0x80 for the last of a message.
func masked(first byte, payload []byte) []byte {
	key := [4]byte{0x1f, 0xab, 0, byte(len(payload))}
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, key[:]...)
	for i, c := range payload {
		b = append(b, c^key[i%4])
	}
	return b
}

// pair returns the two ends of a TCP connection.
func pair(t testing.TB) (client net.Conn, server *stream) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = client.Close(), accepted.Close() })
	return client, newStream(accepted)
}

// Messages come as they were sent, however they are cut into frames and these into packets, and with pings between the frames.
func TestIncomingMessages(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		client, server := pair(t)
		if rapid.Bool().Draw(r, "TLS") { // is read in another way
			server.raw = nil
		}
		var want [][]byte
		var wire []byte
		pings := 0
		for range rapid.IntRange(1, 4).Draw(r, "messages") {
			message := bytes.Repeat([]byte(rapid.StringN(0, 40, -1).Draw(r, "text")), rapid.SampledFrom([]int{1, 3, 200, 3000}).Draw(r, "times"))
			want = append(want, message)
			for kind, rest := byte(textFrame), message; ; kind = continuation {
				n := len(rest)
				if rapid.Bool().Draw(r, "cut") {
					n = rapid.IntRange(0, len(rest)).Draw(r, "at")
				}
				if n == len(rest) {
					wire = append(wire, masked(0x80|kind, rest)...)
					break
				}
				wire = append(append(wire, masked(kind, rest[:n])...), masked(0x80|pingFrame, []byte("hm"))...)
				rest = rest[n:]
				pings++
			}
		}
		go func() {
			for len(wire) > 0 {
				n := rapid.IntRange(1, len(wire)).Draw(r, "packet")
				_, _ = client.Write(wire[:n])
				wire = wire[n:]
			}
		}()
		heard := 0
		in := &incoming{from: server, limit: 1 << 20, control: func(kind byte, payload []byte) error {
			if kind == pingFrame && string(payload) == "hm" {
				heard++
			}
			return nil
		}}
		for i, w := range want {
			if _, err := in.next(); err != nil {
				r.Fatalf("message %d: %v", i, err)
			}
			if got, err := io.ReadAll(in); err != nil || !bytes.Equal(got, w) {
				r.Fatalf("message %d is %.40q of %d bytes, %v, want %.40q of %d", i, got, len(got), err, w, len(w))
			}
		}
		if in.release(); heard != pings || in.buf != nil {
			r.Errorf("%d of %d pings were heard, and a buffer is held: %v", heard, pings, in.buf != nil)
		}
	})
}

// What is not in RFC 6455, and what is larger than allowed, ends the connection and is not read.
func TestIncomingNonsense(t *testing.T) {
	text := masked(0x81, []byte("abc"))
	unmasked := append([]byte{0x81, 3}, "abc"...)
	endless := append([]byte{0x81, 0x80 | 127, 0xff}, make([]byte, 12)...)
	for name, wire := range map[string][]byte{
		"not masked":                   unmasked,
		"an extension":                 append([]byte{0xc1}, text[1:]...),
		"an unknown kind":              append([]byte{0x83}, text[1:]...),
		"an unknown control kind":      append([]byte{0x8b}, text[1:]...),
		"a ping in parts":              masked(pingFrame, []byte("a")),
		"a long ping":                  masked(0x80|pingFrame, make([]byte, 126)),
		"a continuation of nothing":    masked(0x80|continuation, []byte("a")),
		"a message within a message":   append(masked(textFrame, []byte("a")), text...),
		"a length below zero":          endless,
		"too large":                    masked(0x81, make([]byte, 101)),
		"too large in parts":           append(masked(textFrame, make([]byte, 60)), masked(0x80, make([]byte, 60))...),
		"a ping that is not all there": masked(0x80|pingFrame, []byte("abc"))[:7],
		"a message that ends early":    text[:len(text)-1],
		"a head that ends early":       text[:1],
	} {
		client, server := pair(t)
		if _, err := client.Write(wire); err != nil {
			t.Fatal(err)
		}
		_ = client.(*net.TCPConn).CloseWrite()
		in := &incoming{from: server, limit: 100, control: func(byte, []byte) error { return nil }}
		_, err := in.next()
		if err == nil {
			_, err = io.Copy(io.Discard, in)
		}
		early := strings.HasSuffix(name, "early") || strings.HasSuffix(name, "there")
		if cut := errors.Is(err, io.ErrUnexpectedEOF); err == nil || cut != early || !cut && !errors.Is(err, errProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An end between messages is an end, and a deadline is kept, with nothing held meanwhile.
func TestIncomingEnds(t *testing.T) {
	client, server := pair(t)
	in := &incoming{from: server, limit: 100}
	_ = server.SetReadDeadline(time.Now().Add(-time.Second))
	if _, err := in.next(); !errors.Is(err, os.ErrDeadlineExceeded) || in.buf != nil {
		t.Errorf("after the deadline: %v", err)
	}
	_ = server.SetReadDeadline(time.Time{})
	_ = client.Close()
	if _, err := in.next(); !errors.Is(err, io.EOF) || in.buf != nil {
		t.Errorf("at the end: %v", err)
	}
}

// A client that does not read keeps nobody waiting who only tries, and whoever waits does so for as long as allowed. Afterwards
// it goes on where it was.
func TestWritesDoNotWait(t *testing.T) {
	client, server := pair(t)
	piece := bytes.Repeat([]byte("0123456789abcdef"), 1<<12)
	sent := 0
	for {
		n, err := server.tryWrite(piece)
		if err != nil {
			t.Fatal(err)
		}
		if sent += n; n < len(piece) {
			break
		}
	}
	if n, err := server.tryWrite(piece[sent%16:]); err != nil || n != 0 {
		t.Fatalf("%d more bytes, %v", n, err)
	}
	if err := server.writeAll(20*time.Millisecond, piece); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("to wait in vain gave %v", err)
	}
	read := make(chan int)
	go func() {
		n, _ := io.Copy(io.Discard, client)
		read <- int(n)
	}()
	if err := server.writeAll(10*time.Second, piece); err != nil {
		t.Error(err)
	}
	if n, err := server.tryWrite([]byte("x")); n != 1 || err != nil {
		t.Errorf("after a wait: %d, %v", n, err)
	}
	_ = server.Close()
	if got := <-read; got < sent+len(piece)+1 {
		t.Errorf("%d bytes came, at least %d were sent", got, sent+len(piece)+1)
	}
	if _, err := server.tryWrite([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}

// What is written is what was pushed, in order and whole, whether frames are joined or not and however much the socket takes.
func TestFramesInPieces(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		client, server := pair(t)
		_ = server.Conn.(*net.TCPConn).SetWriteBuffer(4096)
		var frames []*frame
		var want []byte
		for range rapid.IntRange(1, 12).Draw(r, "frames") {
			size := rapid.SampledFrom([]int{1, 100, 5000, joinMost / 2, joinMost, 60_000}).Draw(r, "size")
			f := newFrame(bytes.Repeat([]byte{byte('a' + len(frames))}, size), false)
			frames, want = append(frames, f), append(want, f.wire...)
		}
		got := make(chan []byte)
		go func() {
			b, _ := io.ReadAll(client)
			got <- b
		}()
		socket := &webSocket{conn: server}
		rest, err := socket.tryFrames(frames)
		if err == nil && rest != nil {
			err = server.writeAll(10*time.Second, rest...)
		}
		_ = server.Close()
		if b := <-got; err != nil || !bytes.Equal(b, want) {
			r.Errorf("%d bytes came of %d, %v", len(b), len(want), err)
		}
		for i, f := range frames {
			if f.data[0] != byte('a'+i) {
				r.Errorf("frame %d has changed", i)
			}
		}
	})
}

// The head of a frame has the length of its payload in one of three ways.
func TestFrameHeads(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 1<<16 - 1, 1 << 16, 1 << 17} {
		for _, isBinary := range []bool{false, true} {
			f := newFrame(bytes.Repeat([]byte("x"), n), isBinary)
			kind := byte(textFrame)
			if isBinary {
				kind = binaryFrame
			}
			wire := masked(0x80|kind, f.data)
			wire[1] &^= 0x80
			head := len(wire) - n - 4
			if want := append(wire[:head:head], f.data...); !bytes.Equal(f.wire, want) || len(f.data) != n {
				t.Errorf("%d bytes: the frame begins %x, want %x", n, f.wire[:min(len(f.wire), 12)], want[:min(len(want), 12)])
			}
		}
	}
}
