package socket

import (
	"encoding/binary"
	"errors"
	"io"
)

// errProtocol ends a connection that does not keep to RFC 6455, or sends a message that is too large.
var errProtocol = errors.New("not a WebSocket, or too large a message")

// maxControl is how long the payload of a control frame may be.
const maxControl = 125

// incoming reads the messages of a WebSocket, one after another. Between them it holds no memory. Not safe for concurrent use.
type incoming struct {
	from    *stream
	limit   int64                                 // bytes of a message
	control func(kind byte, payload []byte) error // is told of a control frame; payload is valid until it returns

	buf     *[bufferSize]byte // nil: nothing is read that was not taken
	at, end int

	inside bool // a message has begun, and its last byte was not read
	last   bool // no frame of it follows
	left   int64
	size   int64 // of the message so far
	key    [4]byte
	turn   int // which byte of the key is next
}

// await waits until something comes.
func (in *incoming) await() (err error) {
	if in.release(); in.buf == nil {
		in.buf, in.end, err = in.from.first()
	}
	return err
}

// next waits for a message and returns whether it is binary. It is read by Read, up to io.EOF, before next is called again.
func (in *incoming) next() (isBinary bool, err error) {
	in.size = 0
	kind, err := in.frame()
	if err == nil && kind == continuation {
		err = errProtocol
	}
	in.inside = err == nil
	return kind == binaryFrame, err
}

// Read implements io.Reader for the current message.
func (in *incoming) Read(p []byte) (int, error) {
	for in.left == 0 {
		if !in.inside || in.last {
			in.inside = false
			return 0, io.EOF
		}
		kind, err := in.frame()
		if err == nil && kind != continuation {
			err = errProtocol
		}
		if err != nil {
			return 0, unexpected(err)
		}
	}
	if len(p) == 0 {
		return 0, nil
	}
	if err := in.need(1); err != nil {
		return 0, unexpected(err)
	}
	n := copy(p[:min(int64(len(p)), in.left)], in.buf[in.at:in.end])
	in.unmask(p[:n])
	in.at, in.left = in.at+n, in.left-int64(n)
	return n, nil
}

// frame reads up to and with the head of the next frame of a message. Control frames before it are handled.
func (in *incoming) frame() (kind byte, err error) {
	for {
		if err := in.head(&kind); err != nil {
			return 0, err
		}
		switch kind {
		case textFrame, binaryFrame, continuation:
			if in.size += in.left; in.size > in.limit || in.size < in.left {
				return 0, errProtocol
			}
			return kind, nil
		}
		if err := in.need(int(in.left)); err != nil {
			return 0, unexpected(err)
		}
		payload := in.buf[in.at : in.at+int(in.left)]
		in.unmask(payload)
		in.at, in.left = in.at+len(payload), 0
		if err := in.control(kind, payload); err != nil {
			return 0, err
		}
	}
}

// head reads the head of a frame and checks what can be wrong with it.
func (in *incoming) head(kind *byte) error {
	if err := in.need(2); err != nil {
		return err
	}
	first, second := in.buf[in.at], in.buf[in.at+1]
	last, size := first&0x80 != 0, int64(second&0x7f)
	*kind = first & 0x0f
	if first&0x70 != 0 || second&0x80 == 0 { // extensions that nobody agreed on; clients mask
		return errProtocol
	}
	long := 0 // bytes of a length that does not fit into the second byte
	switch *kind {
	case textFrame, binaryFrame, continuation:
		in.last = last
		long = map[int64]int{126: 2, 127: 8}[size]
	case closeFrame, pingFrame, pongFrame:
		if !last || size > maxControl {
			return errProtocol
		}
	default:
		return errProtocol
	}
	if err := in.need(2 + long + len(in.key)); err != nil {
		return unexpected(err)
	}
	switch rest := in.buf[in.at+2:]; long {
	case 2:
		size = int64(binary.BigEndian.Uint16(rest))
	case 8:
		if size = int64(binary.BigEndian.Uint64(rest)); size < 0 {
			return errProtocol
		}
	}
	in.at += 2 + long
	copy(in.key[:], in.buf[in.at:])
	in.at, in.left, in.turn = in.at+len(in.key), size, 0
	return nil
}

// need waits until n bytes that were not taken are in the buffer; n is far less than that holds.
func (in *incoming) need(n int) error {
	for in.end-in.at < n {
		if in.buf == nil {
			if err := in.await(); err != nil {
				return err
			}
			continue
		}
		in.at, in.end = 0, copy(in.buf[:], in.buf[in.at:in.end])
		read, err := in.from.Read(in.buf[in.end:])
		if err != nil && in.end > 0 {
			err = unexpected(err)
		}
		if err != nil {
			return err
		}
		in.end += read
	}
	return nil
}

// pending reports whether something is read that was not taken.
func (in *incoming) pending() bool { return in.at < in.end }

// release gives the buffer back if all that was read was taken.
func (in *incoming) release() {
	if in.buf != nil && in.at == in.end {
		buffers.Put(in.buf)
		in.buf, in.at, in.end = nil, 0, 0
	}
}

// unmask makes what a client has masked readable.
func (in *incoming) unmask(b []byte) {
	for i := range b {
		b[i] ^= in.key[in.turn&3]
		in.turn++
	}
}

// unexpected is for an end in the middle of something.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
