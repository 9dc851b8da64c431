package socket

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/zishang520/socket.io/parsers/engine/v3/packet"
	"github.com/zishang520/socket.io/servers/engine/v3/transports"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// lingering is how long a closing WebSocket may take to write what still waits.
const lingering = time.Second

// newWebSocket makes the transport of a connection. Its ends are to be set.
func newWebSocket(l *lines, c net.Conn, ctx *types.HttpContext) *webSocket {
	t := &webSocket{Transport: transports.MakeTransport(), conn: newStream(c), lines: l}
	t.reader = incoming{from: t.conn, limit: l.maxPayload, control: t.onControl}
	t.Prototype(t)
	t.Construct(ctx)
	t.SetWritable(true) // always: order and bounds are the outbox's business, the engine's own buffer stays empty
	return t
}

// webSocket is one WebSocket connection. The read goroutine is the only one that calls into the library. Whoever pushes a frame
// writes it, if that can be done without waiting; a goroutine that waits is there only while a client does not keep up.
type webSocket struct {
	transports.Transport
	lines   *lines
	conn    *stream
	session *session             // nil: a polling session's, which is the library's
	handed  *types.WebSocketConn // as the library has it, until start
	reader  incoming
	box     *outbox
	in      *intake
	upgrade bool // the connection is to take over a polling session

	begun   atomic.Bool   // read was started
	probed  atomic.Bool   // hasten runs
	ended   chan struct{} // of an upgrade: closed by OnClose
	ending  sync.Once
	writing atomic.Bool // somebody writes
	closing atomic.Bool // close after the last waiting frame
}

// Name implements Transport.
func (t *webSocket) Name() string { return transports.WEBSOCKET }

// HandlesUpgrades implements Transport.
func (t *webSocket) HandlesUpgrades() bool { return true }

func (t *webSocket) ends() (*outbox, *intake) { return t.box, t.in }

// attempt calls f. A panic in it ends the connection; read notices, and ends the transport.
func (t *webSocket) attempt(work string, f func()) {
	if !t.lines.net.Call(work, f) {
		_ = t.conn.Close()
	}
}

// OnRequest implements Transport. Beside the request that became the connection there is none to answer; one that comes all
// the same waited for ever.
func (t *webSocket) OnRequest(ctx *types.HttpContext) {
	if ctx.Websocket == nil {
		refuse(ctx, http.StatusBadRequest)
	}
}

// On implements EventEmitter. For an upgrade there is no "connection" event, so reading begins once somebody
// listens for packets.
func (t *webSocket) On(name types.EventName, listeners ...types.EventListener) error {
	err := t.Transport.On(name, listeners...)
	if name == "packet" && t.upgrade {
		t.start()
	}
	return err
}

// start begins to read. A packet read before all listeners of the library are in place would be lost, so this is
// called when they are. By then the library has no more use for the connection that it made of the request either.
func (t *webSocket) start() {
	if t.begun.CompareAndSwap(false, true) {
		if t.handed != nil {
			t.handed.Conn, t.handed = nil, nil
		}
		t.lines.net.Go("read", t.read)
	}
}

// read waits for a message and reads it, with what came at the same time. Here a connection spends nearly all its life. Who waits needs
// little of a stack, but a stack that was deep shrinks only while less than a quarter of it is used: so a goroutine that has read
// ends, and a new one waits.
func (t *webSocket) read() {
	goesOn := false
	defer func() {
		if !goesOn {
			t.OnClose()
		}
	}()
	_ = t.conn.SetReadDeadline(time.Now().Add(t.lines.silence))
	if t.reader.await() != nil {
		return
	}
	t.attempt("read", func() {
		more := t.readNext()
		for more && t.reader.pending() {
			_ = t.conn.SetReadDeadline(time.Now().Add(t.lines.silence))
			more = t.readNext()
		}
		goesOn = more // not after a panic
	})
	if goesOn {
		t.lines.net.Go("read", t.read)
	}
}

// readNext reads a message and hands it over, unless it is too much. It reports false if that was the last.
func (t *webSocket) readNext() bool {
	isBinary, err := t.reader.next()
	if err != nil {
		return false
	}
	_ = t.conn.SetReadDeadline(time.Now().Add(bodyTimeout)) // for the rest of it
	var head [headLength]byte
	n, err := io.ReadFull(&t.reader, head[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false
	}
	looked := head[:n]
	if isBinary {
		looked = nil
	}
	switch ok, flood := t.in.take(looked); {
	case flood:
		t.lines.flooded(t.Sid())
		return false
	case !ok:
		if _, err := io.Copy(io.Discard, &t.reader); err != nil {
			return false
		}
	case n > 0:
		var data types.BufferInterface = types.NewStringBuffer(nil)
		if isBinary {
			data = types.NewBytesBuffer(nil)
		}
		if _, err := data.ReadFrom(io.MultiReader(bytes.NewReader(head[:n]), &t.reader)); err != nil {
			return false
		}
		t.OnData(data)
	}
	return true
}

var (
	errFlood  = errors.New("flood")
	errClosed = errors.New("the client has closed")
)

// onControl handles a frame of the WebSocket protocol itself. No browser sends a ping; like everything else that is answered, it may be
// too much.
func (t *webSocket) onControl(kind byte, payload []byte) error {
	if kind == closeFrame {
		t.answerClose(payload)
		return errClosed
	}
	ok, flood := t.in.take(nil)
	if flood {
		t.lines.flooded(t.Sid())
		return errFlood
	}
	if !ok || kind != pingFrame {
		return nil
	}
	pong := control(pongFrame, payload)
	if !t.drains() { // nobody else writes yet; see answerProbe
		return t.conn.writeAll(lingering, pong.wire)
	}
	t.box.push(pong)
	return nil
}

// answerClose says goodbye to a client that has, unless it does not read what is written to it anyway.
func (t *webSocket) answerClose(payload []byte) {
	if !t.writing.CompareAndSwap(false, true) { // and so it stays: nothing is to be written any more
		return
	}
	if len(payload) > 2 {
		payload = payload[:2] // the status
	}
	_ = t.conn.writeAll(lingering, control(closeFrame, payload).wire)
}

// OnData implements Transport: it hands a packet to the engine, and takes over the outbox of the polling session
// at the very moment the client says that it has switched. The engine does not see probes: it writes the answer and then sets a
// timer that ends polls, which nothing stops any more if the session has ended while the answer was on its way.
func (t *webSocket) OnData(data types.BufferInterface) {
	p, err := t.Parser().DecodePacket(data)
	if err != nil || p == nil {
		t.OnError("invalid packet", err)
		return
	}
	if t.upgrade && p.Type == packet.PING && isProbe(p) && !t.drains() {
		t.answerProbe()
		return
	}
	if t.upgrade && p.Type == packet.UPGRADE && t.ReadyState() == "open" {
		t.box.hand(t)
	}
	t.OnPacket(p)
}

// Send implements Transport. The engine calls it for what it sends itself; broadcasts go to the outbox directly.
func (t *webSocket) Send(packets []*packet.Packet) {
	t.attempt("send", func() {
		for _, p := range packets {
			data, err := t.lines.encoded(t.Parser(), p, t.SupportsBinary())
			if err != nil {
				continue // a packet type that the library itself does not know
			}
			_, text := data.(*types.StringBuffer)
			t.box.push(newFrame(data.Bytes(), !text))
		}
	})
	t.Emit("drain")
}

// drains reports whether the outbox is ours yet.
func (t *webSocket) drains() bool { return t.box.holder() == drain(t) }

// ready writes what waits, as far as that can be done without waiting.
func (t *webSocket) ready() {
	if t.writing.CompareAndSwap(false, true) {
		t.writeAll()
	}
}

// writeAll is write within attempt, without the garbage of that: it is called for every socket of every push.
func (t *webSocket) writeAll() {
	done := false
	defer func() {
		if !done { // there was a panic
			_ = t.conn.Close()
		}
	}()
	defer t.lines.net.Catch("write")
	t.write()
	done = true
}

// write writes what waits until nothing does, or a goroutine has to wait for the client.
func (t *webSocket) write() {
	for {
		frames := t.box.take(t)
		if frames == nil {
			if t.closing.Load() {
				t.lines.net.Go("close", t.finish) // writing stays set: nothing is to be written any more
				return
			}
			t.writing.Store(false)
			// A frame may have come after take and before Store; then its ready did not write.
			if t.box.idle() && !t.closing.Load() || !t.writing.CompareAndSwap(false, true) {
				return
			}
			continue
		}
		rest, err := t.tryFrames(frames)
		t.box.reuse(frames)
		switch {
		case err != nil:
			_ = t.conn.Close() // read notices and ends the transport
			return
		case rest != nil:
			t.lines.net.Go("write", func() {
				t.attempt("write", func() {
					if t.conn.writeAll(t.lines.writeTimeout, rest...) != nil {
						_ = t.conn.Close()
						return
					}
					t.write()
				})
			})
			return
		}
	}
}

// tryFrames writes frames in as few goes as is sensible and returns what of them is left.
func (t *webSocket) tryFrames(frames []*frame) (rest net.Buffers, err error) {
	room := joins.Get().(*[]byte)
	defer joins.Put(room)
	for len(frames) > 0 {
		piece, of := join(*room, frames)
		n, err := t.conn.tryWrite(piece)
		if err != nil {
			return nil, err
		}
		if frames = frames[of:]; n < len(piece) {
			piece = piece[n:]
			if of > 1 {
				piece = bytes.Clone(piece) // the room is for the next one
			}
			rest = append(rest, piece)
			for _, f := range frames {
				rest = append(rest, f.wire)
			}
			return rest, nil
		}
	}
	return nil, nil //nolint:nilnil // nothing is left
}

// joinMost is up to how many bytes frames are copied to be written in one go. Beyond that a copy costs more than a write.
const joinMost = 16 << 10

// joins are where frames are joined, while they are written.
var joins = sync.Pool{New: func() any {
	room := make([]byte, 0, joinMost)
	return &room
}}

// join returns the bytes of the first frames, and of how many: copied into room where that is worth it, else the first as it is.
func join(room []byte, frames []*frame) (piece []byte, of int) {
	room = room[:0]
	for _, f := range frames {
		if len(f.wire) > joinMost/2 || len(room)+len(f.wire) > joinMost {
			break
		}
		room = append(room, f.wire...)
		of++
	}
	if of < 2 {
		return frames[0].wire, 1
	}
	return room, of
}

// finish says goodbye and closes.
func (t *webSocket) finish() {
	_ = t.conn.writeAll(lingering, control(closeFrame, binary.BigEndian.AppendUint16(nil, websocket.CloseNormalClosure)).wire)
	_ = t.conn.Close()
}

func (t *webSocket) overflow() {
	t.lines.slow()
	t.lines.net.Go("give up a slow client", func() { _ = t.conn.Close() }) // read notices; push must not wait, and closing TLS may write
}

// DoClose implements Transport: what waits is written first, within a second.
func (t *webSocket) DoClose(done types.Callable) {
	t.attempt("close", func() {
		if t.upgrade && !t.drains() {
			_ = t.conn.Close()
		} else {
			t.box.finish()
			t.closing.Store(true)
			t.ready()
			t.lines.net.After(lingering, "close", func() { _ = t.conn.Close() })
		}
		t.start() // a connection that is never read never learns that it is closed
	})
	if done != nil {
		done()
	}
}

// OnPacket implements Transport.
func (t *webSocket) OnPacket(p *packet.Packet) {
	if t.session != nil {
		t.session.onPacket(p)
		return
	}
	t.Transport.OnPacket(p)
}

// OnError implements Transport.
func (t *webSocket) OnError(msg string, err error) {
	if t.session != nil {
		t.session.OnClose("transport error")
		return
	}
	t.Transport.OnError(msg, err)
}

// OnClose implements Transport. It runs for every way a connection may end.
func (t *webSocket) OnClose() {
	defer t.lines.net.Catch("close")
	if t.upgrade {
		t.ending.Do(func() { close(t.ended) })
	}
	if !t.closing.Load() {
		t.box.close(t)
		_ = t.conn.Close()
	}
	t.Transport.OnClose()
	if t.session != nil {
		t.session.OnClose("transport close")
	}
}
