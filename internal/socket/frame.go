package socket

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"

	"rollcall/internal/rawjson"
)

// frame is one Engine.IO packet ready to be written. It never changes, so that all receivers of a broadcast
// share one.
type frame struct {
	data   []byte // the packet with its type, for example 42["note_tree",{...}]
	binary bool
	wire   []byte // the whole frame of a WebSocket, of which data is the end

	// Frames of one stream carry a version that never goes back at a receiver: an older one is dropped.
	stream  string
	version int64
	// from, if follows is set, is the version that the receiver must have seen for this frame to make sense.
	from    int64
	follows bool
	// again lets a frame pass that carries the version its receiver has seen last.
	again bool
	// latest marks a frame that makes waiting ones of its stream superfluous.
	latest bool
	// instead, if it is set, is how many bytes may wait of the stream before a latest frame is the shorter way.
	instead int
}

// Kinds of frames of the WebSocket protocol (RFC 6455).
const (
	continuation = 0x0
	textFrame    = 0x1
	binaryFrame  = 0x2
	closeFrame   = 0x8
	pingFrame    = 0x9
	pongFrame    = 0xa
)

// headroom is how long the head of a frame that the server sends is at most.
const headroom = 10

// newFrame makes the frame of a packet. It keeps a copy of data.
func newFrame(data []byte, binary bool) *frame {
	return sealed(append(make([]byte, headroom, headroom+len(data)), data...), binary)
}

// sealed makes the frame of a packet that stands behind headroom bytes of room for the head. It keeps b.
func sealed(b []byte, binary bool) *frame {
	kind := byte(textFrame)
	if binary {
		kind = binaryFrame
	}
	return &frame{data: b[headroom:], binary: binary, wire: headed(b, kind)}
}

// headed writes the head of a frame of the given kind in front of its payload, which begins at headroom, and returns both.
func headed(b []byte, kind byte) []byte {
	const last = 0x80
	switch size := len(b) - headroom; {
	case size < 126:
		b[headroom-2], b[headroom-1] = last|kind, byte(size)
		return b[headroom-2:]
	case size < 1<<16:
		b[headroom-4], b[headroom-3] = last|kind, 126
		binary.BigEndian.PutUint16(b[headroom-2:], uint16(size))
		return b[headroom-4:]
	default:
		b[0], b[1] = last|kind, 127
		binary.BigEndian.PutUint64(b[2:], uint64(size))
		return b
	}
}

// control makes a frame of the WebSocket protocol itself, which no packet is in.
func control(kind byte, payload []byte) *frame {
	return &frame{wire: headed(append(make([]byte, headroom, headroom+len(payload)), payload...), kind)}
}

// event encodes a Socket.IO event of namespace / with its arguments.
func event(name string, args ...json.RawMessage) (*frame, error) {
	return encodeEvent("42", name, args)
}

// askedEvent encodes an event that the client is to acknowledge under a number.
func askedEvent(number uint64, name string, args ...json.RawMessage) (*frame, error) {
	return encodeEvent("42"+strconv.FormatUint(number, 10), name, args)
}

func encodeEvent(head, name string, args []json.RawMessage) (*frame, error) {
	quoted, err := rawjson.Encode(name)
	if err != nil {
		return nil, fmt.Errorf("encode event name: %w", err)
	}
	size := headroom + len(head) + len(quoted) + 2
	for _, a := range args {
		size += len(a) + 1
	}
	b := append(append(append(make([]byte, headroom, size), head...), '['), quoted...)
	for _, a := range args {
		b = append(append(b, ','), a...)
	}
	return sealed(append(b, ']'), false), nil
}

// eventOf encodes an event with one argument of our own making.
func eventOf(name string, arg any) (*frame, error) {
	body, err := rawjson.Encode(arg)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", name, err)
	}
	return event(name, body)
}
