// Package load is many clients in one process: sockets of our own that read as little as they must, so that what is measured is
// the server.
package load

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
)

// The kinds of WebSocket frames.
const (
	opText   = 1
	opBinary = 2
	opClose  = 8
	opPing   = 9
	opPong   = 10
)

// maxFrame bounds what a server may send at once.
const maxFrame = 16 << 20

var (
	errPieces = errors.New("the server sent a message in pieces, which this client does not read")
	errMasked = errors.New("the server sent a frame with a mask or with bits of an extension")
	errLong   = errors.New("the server sent a frame of more than 16 MiB")
)

// frame is one WebSocket frame.
type frame struct {
	op      byte
	payload []byte // part of what it was cut from
	size    int    // with its header
}

// cut finds the first frame in data. If not all of it is there, f.size is how much there must be at least.
func cut(data []byte) (f frame, whole bool, err error) {
	if len(data) < 2 {
		return frame{size: 2}, false, nil
	}
	length, header := int(data[1]&0x7f), 2
	switch length {
	case 126:
		header = 4
	case 127:
		header = 10
	}
	if data[0]&0x70 != 0 || data[1]&0x80 != 0 {
		return f, false, errMasked
	}
	if f.op = data[0] & 0x0f; data[0]&0x80 == 0 || f.op == 0 {
		return f, false, errPieces
	}
	if len(data) < header {
		return frame{size: header}, false, nil
	}
	switch length {
	case 126:
		length = int(binary.BigEndian.Uint16(data[2:]))
	case 127:
		long := binary.BigEndian.Uint64(data[2:])
		if long > maxFrame {
			return f, false, errLong
		}
		length = int(long)
	}
	f.size = header + length
	if len(data) < f.size {
		return f, false, nil
	}
	f.payload = data[header:f.size]
	return f, true, nil
}

// masked returns a frame as clients send it. It is meant for what is short: more than 125 bytes have another header.
func masked(op byte, payload string) []byte {
	if len(payload) > 125 {
		panic("masked: a frame of a client with more than 125 bytes")
	}
	f := append(make([]byte, 0, 6+len(payload)), 0x80|op, 0x80|byte(len(payload)))
	f = binary.LittleEndian.AppendUint32(f, rand.Uint32())
	for i := range len(payload) {
		f = append(f, payload[i]^f[2+i%4])
	}
	return f
}
