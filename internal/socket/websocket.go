package socket

import (
	"bytes"
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

// webSocketBuilder makes the library use our WebSocket transport instead of its own, which starts to read before
// its listeners are there, queues without bound and writes without a deadline.
type webSocketBuilder struct {
	transports.WebSocketBuilder
	lines lines
}

// New implements the library's TransportCtor for a connection that is already upgraded to WebSocket.
func (b *webSocketBuilder) New(ctx *types.HttpContext) transports.Transport {
	t := &webSocket{Transport: transports.MakeTransport(), conn: ctx.Websocket.Conn, lines: b.lines, ended: make(chan struct{})}
	t.Prototype(t)
	t.Construct(ctx)
	if sid := ctx.Query().Peek("sid"); sid != "" {
		t.upgrade = true
		t.SetSid(sid)
		t.box, t.in = b.lines.ends(sid)
	}
	if t.box == nil {
		t.box, t.in = b.lines.newEnds(t)
	}
	t.conn.SetPingHandler(t.onPing)
	t.conn.SetPongHandler(t.onPong)
	return t
}

// webSocket is one WebSocket connection. The read goroutine is the only one that calls into the library; at most
// one write goroutine runs, and only while frames wait.
type webSocket struct {
	transports.Transport
	lines   lines
	conn    *websocket.Conn
	box     *outbox
	in      *intake
	upgrade bool // the connection is to take over a polling session

	begun   atomic.Bool   // read was started
	probed  atomic.Bool   // hasten runs
	ended   chan struct{} // closed by OnClose
	ending  sync.Once
	writing atomic.Bool // write runs
	closing atomic.Bool // close after the last waiting frame
}

// Construct implements Transport.
func (t *webSocket) Construct(ctx *types.HttpContext) {
	t.Transport.Construct(ctx)
	t.SetWritable(true) // always: order and bounds are the outbox's business, the engine's own buffer stays empty
	_ = ctx.Websocket.Once("close", func(...any) { t.OnClose() })
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
// called when they are.
func (t *webSocket) start() {
	if t.begun.CompareAndSwap(false, true) {
		t.lines.net.Go("read", t.read)
	}
}

func (t *webSocket) read() {
	defer t.OnClose()
	t.attempt("read", func() {
		for t.readNext() {
		}
	})
}

// readNext reads a message and hands it over, unless it is too much. It reports false if that was the last.
func (t *webSocket) readNext() bool {
	_ = t.conn.SetReadDeadline(time.Now().Add(t.lines.silence))
	kind, r, err := t.conn.NextReader()
	if err != nil {
		return false
	}
	_ = t.conn.SetReadDeadline(time.Now().Add(bodyTimeout)) // for the rest of it
	var head [headLength]byte
	n, err := io.ReadFull(r, head[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false
	}
	looked := head[:n]
	if kind == websocket.BinaryMessage {
		looked = nil
	}
	switch ok, flood := t.in.take(looked); {
	case flood:
		t.lines.flooded(t.Sid())
		return false
	case !ok:
		if _, err := io.Copy(io.Discard, r); err != nil {
			return false
		}
	case n > 0:
		var data types.BufferInterface = types.NewStringBuffer(nil)
		if kind == websocket.BinaryMessage {
			data = types.NewBytesBuffer(nil)
		}
		if _, err := data.ReadFrom(io.MultiReader(bytes.NewReader(head[:n]), r)); err != nil {
			return false
		}
		t.OnData(data)
	}
	return true
}

// errFlood ends a connection.
var errFlood = errors.New("flood")

// onPing answers the ping of the WebSocket protocol itself, which no browser sends, unless it is too much.
func (t *webSocket) onPing(text string) error {
	ok, err := t.control()
	if ok {
		err = t.conn.WriteControl(websocket.PongMessage, []byte(text), time.Now().Add(lingering))
	}
	if timeout, is := errors.AsType[net.Error](err); is && timeout.Timeout() || errors.Is(err, websocket.ErrCloseSent) {
		return nil // a pong more or less is nothing
	}
	return err
}

func (t *webSocket) onPong(string) error {
	_, err := t.control()
	return err
}

// control counts a frame that is no message.
func (t *webSocket) control() (ok bool, err error) {
	ok, flood := t.in.take(nil)
	if flood {
		t.lines.flooded(t.Sid())
		return false, errFlood
	}
	return ok, nil
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

// probe is what a client sends to see whether a WebSocket works, and wants to read.
const probe = "probe"

func isProbe(p *packet.Packet) bool {
	text, ok := p.Data.(*types.StringBuffer)
	return ok && string(text.Bytes()) == probe
}

// answerProbe answers the probe of an upgrade. The outbox still belongs to the polling session then, so that no other write can
// be under way.
func (t *webSocket) answerProbe() {
	_ = t.conn.SetWriteDeadline(time.Now().Add(t.lines.writeTimeout))
	if err := t.conn.WriteMessage(websocket.TextMessage, []byte("3"+probe)); err != nil {
		_ = t.conn.Close() // read notices and ends the transport
		return
	}
	if t.probed.CompareAndSwap(false, true) {
		t.lines.net.Go("hasten an upgrade", t.hasten)
	}
}

// hastenEvery is how often polls end while a client is about to switch: it does so when none waits.
const hastenEvery = 100 * time.Millisecond

// hasten ends polls of the session until it is ours or the transport ends.
func (t *webSocket) hasten() {
	tick := time.NewTicker(hastenEvery)
	defer tick.Stop()
	for {
		select {
		case <-t.ended:
			return
		case <-tick.C:
			poll, ok := t.box.holder().(*polling)
			if !ok {
				return
			}
			poll.end(packet.NOOP)
		}
	}
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

func (t *webSocket) ready() {
	if t.writing.CompareAndSwap(false, true) {
		t.lines.net.Go("write", func() { t.attempt("write", t.write) })
	}
}

// write sends what waits until nothing does.
func (t *webSocket) write() {
	for {
		frames := t.box.take(t)
		if frames == nil {
			if t.closing.Load() {
				_ = t.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(lingering))
				_ = t.conn.Close()
				return // writing stays set: nothing is to be written any more
			}
			t.writing.Store(false)
			// A frame may have come after take and before Store; then its ready did not start a writer.
			if t.box.idle() && !t.closing.Load() || !t.writing.CompareAndSwap(false, true) {
				return
			}
			continue
		}
		for _, f := range frames {
			message, err := f.prepared()
			if err == nil {
				_ = t.conn.SetWriteDeadline(time.Now().Add(t.lines.writeTimeout))
				err = t.conn.WritePreparedMessage(message)
			}
			if err != nil {
				_ = t.conn.Close() // read notices and ends the transport
				return
			}
		}
	}
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

// OnClose implements Transport. It runs for every way a connection may end.
func (t *webSocket) OnClose() {
	defer t.lines.net.Catch("close")
	t.ending.Do(func() { close(t.ended) })
	if !t.closing.Load() {
		t.box.close(t)
		_ = t.conn.Close()
	}
	t.Transport.OnClose()
}
