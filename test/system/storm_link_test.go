package system_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// patient is how long an answer may take while the server is stormed.
const patient = 30 * time.Second

// link is a WebSocket made by hand, so that every bit of a frame can be wrong. It listens to what the server says and checks
// it.
type link struct {
	net.Conn
	v       *visit
	eio3    bool
	opened  chan string   // the sid of OPEN
	in      chan struct{} // closed when the CONNECT was answered
	probed  chan struct{} // closed when the probe of an upgrade was answered
	out     chan struct{} // closed when the server has ended the connection or disconnected the socket
	answers chan uint64   // numbers of answers to questions of sync

	mu     sync.Mutex // guards writing and the rest
	mute   bool       // heartbeats are not answered
	sentTo bool       // home: the server said goodbye first
}

// toWebSocket is what the head of a request says that asks for a WebSocket.
const toWebSocket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// errRefused is a WebSocket that the server did not open.
var errRefused = errors.New("no WebSocket was opened")

// dialLink opens a WebSocket with a query as it is and further lines of the request's head.
func (v *visit) dialLink(query, head string) (*link, error) {
	conn, err := net.Dial("tcp", v.host)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(patient))
	v.note("websocket request", query)
	_, err = fmt.Fprintf(conn, "GET /socket.io/?%s HTTP/1.1\r\nHost: %s\r\n%s%s\r\n", query, v.host, toWebSocket, head)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	v.answered(resp.StatusCode)
	if resp.StatusCode != http.StatusSwitchingProtocols {
		_ = conn.Close()
		return nil, errRefused
	}
	_ = conn.SetDeadline(time.Time{})
	l := &link{Conn: conn, v: v, eio3: strings.Contains(query, "EIO=3"), opened: make(chan string, 1), in: make(chan struct{}), probed: make(chan struct{}),
		out: make(chan struct{}), answers: make(chan uint64, 64)}
	v.links.Go(func() { l.listen(r) })
	return l, nil
}

func (l *link) listen(r *bufio.Reader) {
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		once(l.out)
	}()
	for {
		op, payload, err := readFrame(r)
		if err != nil {
			return
		}
		if op == 1 && len(payload) > 0 {
			l.hear(payload)
		}
	}
}

// once closes c unless it is closed. All closers hold the lock of the link.
func once(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// hear notes what the server says, which has to make sense whatever the client did.
func (l *link) hear(text []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case text[0] == '0':
		if sid := sidOf(text); sid != "" {
			l.v.remember(sid)
			select {
			case l.opened <- sid:
			default:
				l.v.fail("the server sent OPEN twice")
			}
		}
	case text[0] == '2' && !l.mute:
		_ = l.write(frameOf(0x5a17c3e9, 0x81, "3"+string(text[1:])))
	case string(text) == "3probe":
		once(l.probed)
	case bytes.HasPrefix(text, []byte("40")):
		once(l.in)
	case bytes.HasPrefix(text, []byte("41")), bytes.HasPrefix(text, []byte("44")), text[0] == '1':
		l.sentTo = true
		once(l.out)
	case bytes.HasPrefix(text, []byte("42")), bytes.HasPrefix(text, []byte("43")):
		array := bytes.TrimLeft(text[2:], "0123456789")
		if !utf8.Valid(array) || !json.Valid(array) {
			l.v.fail("the server sent %.300q", text)
		}
		if n, err := strconv.ParseUint(string(text[2:len(text)-len(array)]), 10, 64); err == nil && text[1] == '3' {
			select {
			case l.answers <- n:
			default:
			}
		}
	}
}

// sidOf reads the sid of an OPEN packet, which may be part of a payload of either revision.
func sidOf(text []byte) string {
	var open struct{ Sid string }
	at := bytes.IndexByte(text, '{')
	if at < 0 || json.NewDecoder(bytes.NewReader(text[at:])).Decode(&open) != nil {
		return ""
	}
	return open.Sid
}

// send sends bytes as they are. It reports false when nobody takes them any more.
func (l *link) send(kind string, b []byte, text string) bool {
	select {
	case <-l.out:
		return false
	default:
	}
	l.v.note(kind, text)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.write(b) == nil
}

func (l *link) write(b []byte) error {
	_ = l.SetWriteDeadline(time.Now().Add(patient))
	_, err := l.Write(b)
	return err
}

// say sends a packet in a frame as it should be.
func (l *link) say(p packet) bool {
	first, text := byte(0x81), p.text
	if p.binary {
		first = 0x82
	}
	if p.binary && l.eio3 {
		text = "\x04" + text // this revision puts the type in front of binary too
	}
	return l.send(p.kind, frameOf(l.v.Uint32(), first, text), text)
}

// sync waits until the server has answered everything so far. It reports false when the connection is over.
func (l *link) sync(question uint64) bool {
	if l.eio3 {
		l.say(packet{kind: "ping", text: "2"}) // theirs is the heartbeat
	}
	if !l.say(packet{kind: "event", text: fmt.Sprintf(`42%d["jywsping"]`, question)}) {
		return false
	}
	limit := time.After(patient)
	for {
		select {
		case n := <-l.answers:
			if n == question {
				return true
			}
		case <-l.out:
			return false
		case <-limit:
			l.v.fail("an event was not answered within %v on a connection that is open", patient)
			return false
		}
	}
}

// sentHome reports whether the server said that it is over before it was over.
func (l *link) sentHome() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sentTo
}

// end leaves in one of the ways in which clients do.
func (l *link) end() {
	g := l.v.grammar
	switch g.IntN(7) {
	case 0:
		l.send("close frame", frameOf(g.Uint32(), 0x88, "\x03\xe8"), "1000")
	case 1:
		l.say(packet{kind: "disconnect", text: "41"})
	case 2:
		l.say(packet{kind: "engine close", text: "1"})
	case 3:
		if tcp, ok := l.Conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset
		}
	case 4:
		b := frameOf(g.Uint32(), 0x81, g.event().text)
		l.send("cut", b[:g.IntN(len(b))], "")
	case 5:
		if l.v.abandon(l) {
			return
		}
	}
	_ = l.Close()
}

// frameOf is a masked frame that begins with the given byte.
func frameOf(mask uint32, first byte, text string) []byte {
	return frameClaiming(mask, first, text, uint64(len(text)))
}

// frameClaiming is a frame that claims another length than it has.
func frameClaiming(mask uint32, first byte, text string, length uint64) []byte {
	b := []byte{first}
	switch {
	case length < 126:
		b = append(b, 0x80|byte(length))
	case length < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(length))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), length)
	}
	b = binary.BigEndian.AppendUint32(b, mask)
	key := b[len(b)-4:]
	for i := range len(text) {
		b = append(b, text[i]^key[i%4])
	}
	return b
}

// readFrame reads a frame of the server.
func readFrame(r *bufio.Reader) (op byte, payload []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return 0, nil, err
	}
	op, length := head[0]&15, uint64(head[1]&127)
	switch length {
	case 126:
		_, err = io.ReadFull(r, head[:2])
		length = uint64(binary.BigEndian.Uint16(head[:2]))
	case 127:
		_, err = io.ReadFull(r, head[:8])
		length = binary.BigEndian.Uint64(head[:8])
	}
	if err != nil || length > 16<<20 {
		return 0, nil, fmt.Errorf("a frame of %d bytes: %w", length, err)
	}
	payload = make([]byte, length)
	_, err = io.ReadFull(r, payload)
	return op, payload, err
}

// encoded makes a query, of which each value is quoted as it should be.
func encoded(pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Add(pairs[i], pairs[i+1])
	}
	return q.Encode()
}
