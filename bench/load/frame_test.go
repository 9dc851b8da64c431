package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

// served returns a text frame as servers send it.
func served(payload string) []byte {
	f := []byte{0x80 | opText}
	switch n := len(payload); {
	case n < 126:
		f = append(f, byte(n))
	case n < 1<<16:
		f = binary.BigEndian.AppendUint16(append(f, 126), uint16(n))
	default:
		f = binary.BigEndian.AppendUint64(append(f, 127), uint64(n))
	}
	return append(f, payload...)
}

// A stream of frames of every length is cut the same way wherever it was torn.
func TestCut(t *testing.T) {
	var stream []byte
	var sent []string
	for _, n := range []int{0, 1, 125, 126, 127, 4096, 65535, 65536, 70000} {
		sent = append(sent, strings.Repeat("x", n))
		stream = append(stream, served(sent[len(sent)-1])...)
	}
	for _, piece := range []int{1, 2, 3, 7, 1000, 4099, len(stream)} {
		var got []string
		var data []byte
		for rest := stream; len(rest) > 0; {
			n := min(piece, len(rest))
			data, rest = append(data, rest[:n]...), rest[n:]
			for {
				f, whole, err := cut(data)
				if err != nil {
					t.Fatal(err)
				}
				if !whole {
					if f.size <= len(data) {
						t.Fatalf("%d bytes are there, and %d are said to be needed", len(data), f.size)
					}
					break
				}
				got, data = append(got, string(f.payload)), data[f.size:]
			}
		}
		if strings.Join(got, "|") != strings.Join(sent, "|") || len(data) != 0 {
			t.Errorf("in pieces of %d: %d frames of %d came out, %d bytes are left", piece, len(got), len(sent), len(data))
		}
	}
}

func TestCutRefuses(t *testing.T) {
	for _, c := range []struct {
		data []byte
		want error
	}{
		{[]byte{opText, 1, 'x'}, errPieces},
		{[]byte{0x80, 1, 'x'}, errPieces},
		{[]byte{0x80 | opText, 0x81, 0, 0, 0, 0, 'x'}, errMasked},
		{[]byte{0xc0 | opText, 1, 'x'}, errMasked},
		{[]byte{0x80 | opText, 127, 0, 0, 0, 1, 0, 0, 0, 0}, errLong},
		{[]byte{0x80 | opText, 127, 0xff, 0, 0, 1, 0, 0, 0, 0}, errLong},
	} {
		if _, _, err := cut(c.data); !errors.Is(err, c.want) {
			t.Errorf("% x: %v, want %v", c.data, err, c.want)
		}
	}
}

func TestMasked(t *testing.T) {
	f := masked(opText, "40hello")
	if f[0] != 0x81 || f[1] != 0x87 || len(f) != 2+4+7 {
		t.Fatalf("the header is % x", f[:2])
	}
	for i := range f[6:] {
		f[6+i] ^= f[2+i%4]
	}
	if !bytes.Equal(f[6:], []byte("40hello")) {
		t.Errorf("said %q", f[6:])
	}
}
