package socket

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// separator stands between the packets of a payload in Engine.IO 4. In Engine.IO 3 each has its length in front.
const separator = '\x1e'

// payload joins frames to the body of a long-polling answer in the given revision of Engine.IO.
func payload(frames []*frame, protocol int) []byte {
	var body []byte
	for i, f := range frames {
		switch {
		case protocol == 3:
			body = append(strconv.AppendInt(body, int64(utf16Length(f.data)), 10), ':')
		case i > 0:
			body = append(body, separator)
		}
		body = append(body, f.data...)
	}
	return body
}

// utf16Length counts as JavaScript does: characters beyond the basic plane are two.
func utf16Length(s []byte) int {
	n := 0
	for _, b := range s {
		switch {
		case b&0xC0 == 0x80: // a continuation byte
		case b >= 0xF0:
			n += 2
		default:
			n++
		}
	}
	return n
}

// eachPacket calls f with the packets in the body of a POST, one after another and none of them decoded, until f returns
// false. It reports false if the body is cut in a way that it cannot be.
func eachPacket(body []byte, protocol int, f func(packet []byte) bool) bool {
	for len(body) > 0 {
		var p []byte
		if protocol == 3 {
			var ok bool
			if p, body, ok = cutLengthed(body); !ok {
				return false
			}
		} else {
			p, body, _ = bytes.Cut(body, []byte{separator})
		}
		if len(p) > 0 && !f(p) {
			break
		}
	}
	return true
}

// cutLengthed cuts a packet with its length in front from a body. The length counts as JavaScript does.
func cutLengthed(body []byte) (packet, rest []byte, ok bool) {
	digits := leadingDigits(body)
	length, err := strconv.Atoi(string(body[:digits]))
	if err != nil || digits == len(body) || body[digits] != ':' {
		return nil, nil, false
	}
	body = body[digits+1:]
	end := 0
	for units := 0; units < length; units++ {
		if end == len(body) {
			return nil, nil, false
		}
		r, size := utf8.DecodeRune(body[end:])
		if end += size; r > 0xFFFF {
			units++
		}
	}
	return body[:end], body[end:], true
}

// maxOctetPackets is how many packets a binary payload may hold. Only 2.x clients send such, for events with binary parts,
// and those are not understood here.
const maxOctetPackets = 1000

// countOctetPackets returns how many packets a binary payload holds at most: each begins with its length in digits from 0
// to 9, and a 255.
func countOctetPackets(body []byte) int {
	n := 0
	for i := 1; i < len(body); i++ {
		if body[i] == 0xFF && body[i-1] <= 9 {
			n++
		}
	}
	return n
}
