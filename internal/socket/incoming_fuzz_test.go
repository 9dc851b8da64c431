package socket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
)

// written is a connection on which bytes have come, and then the end, in pieces of a given size.
type written struct {
	net.Conn
	rest  *bytes.Reader
	piece int
}

func (w *written) Read(p []byte) (int, error) { return w.rest.Read(p[:min(len(p), w.piece)]) }

// Whatever comes, no message is longer than allowed, nothing is read twice, a control frame has no more than it may, and the end comes
// with an error. However the bytes are cut, they say the same.
func FuzzIncoming(f *testing.F) {
	for _, wire := range [][]byte{
		masked(0x81, []byte("hello")), append(masked(textFrame, []byte("a")), masked(0x80, []byte("b"))...), masked(0x80|pingFrame, []byte("hm")),
		masked(0x80|closeFrame, []byte{3, 232}), masked(0x82, make([]byte, 300)), {0x81, 0x80 | 127, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, {0x81, 0xfe, 0, 1},
	} {
		f.Add(wire, byte(1))
		f.Add(append(bytes.Clone(wire), wire...), byte(200))
	}
	f.Fuzz(func(t *testing.T, wire []byte, piece byte) {
		cut, whole := readAll(t, wire, int(piece)+1), readAll(t, wire, len(wire)+1)
		if len(cut) != len(whole) {
			t.Fatalf("%d messages in pieces of %d, and %d at once", len(cut), int(piece)+1, len(whole))
		}
		for i := range cut {
			if !bytes.Equal(cut[i], whole[i]) {
				t.Errorf("message %d is %q in pieces, and %q at once", i, cut[i], whole[i])
			}
		}
	})
}

// readAll returns the messages that are whole.
func readAll(t *testing.T, wire []byte, piece int) (messages [][]byte) {
	t.Helper()
	const limit = 1000
	total := 0
	in := &incoming{from: &stream{Conn: &written{rest: bytes.NewReader(wire), piece: piece}}, limit: limit}
	in.control = func(kind byte, payload []byte) error {
		if total += len(payload); len(payload) > maxControl || kind < closeFrame || kind > pongFrame {
			t.Fatalf("a control frame %x of %d bytes", kind, len(payload))
		}
		return nil
	}
	for {
		if _, err := in.next(); err != nil {
			return messages
		}
		message, err := io.ReadAll(in)
		if total += len(message); len(message) > limit || total > len(wire) {
			t.Fatalf("a message of %d bytes, %d in all from %d", len(message), total, len(wire))
		}
		if err != nil {
			if !errors.Is(err, errProtocol) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("in the middle of a message: %v", err)
			}
			return messages
		}
		messages = append(messages, message)
	}
}
