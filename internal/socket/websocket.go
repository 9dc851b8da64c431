package socket

import (
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
	t := &webSocket{Transport: transports.MakeTransport(), conn: ctx.Websocket.Conn, writeTimeout: b.lines.writeTimeout, slow: b.lines.slow, guard: b.lines.guard}
	t.Prototype(t)
	t.Construct(ctx)
	if sid := ctx.Query().Peek("sid"); sid != "" {
		t.upgrade = true
		t.box = b.lines.outboxOf(sid)
	}
	if t.box == nil {
		t.box = newOutbox(b.lines.maxQueue, t)
	}
	return t
}

// webSocket is one WebSocket connection. The read goroutine is the only one that calls into the library; at most
// one write goroutine runs, and only while frames wait.
type webSocket struct {
	transports.Transport
	conn         *websocket.Conn
	box          *outbox
	upgrade      bool // the connection is to take over a polling session
	writeTimeout time.Duration
	slow         func()
	guard        func(where string, after func())

	begun   atomic.Bool // read was started
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

func (t *webSocket) outbox() *outbox { return t.box }

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
		go t.read()
	}
}

func (t *webSocket) read() {
	defer t.OnClose()
	defer t.guard("read", func() { _ = t.conn.Close() })
	for {
		kind, r, err := t.conn.NextReader()
		if err != nil {
			return
		}
		var data types.BufferInterface = types.NewStringBuffer(nil)
		if kind == websocket.BinaryMessage {
			data = types.NewBytesBuffer(nil)
		}
		if _, err := data.ReadFrom(r); err != nil {
			return
		}
		if data.Len() > 0 {
			t.OnData(data)
		}
	}
}

// OnData implements Transport: it hands a packet to the engine, and takes over the outbox of the polling session
// at the very moment the client says that it has switched.
func (t *webSocket) OnData(data types.BufferInterface) {
	p, err := t.Parser().DecodePacket(data)
	if err != nil || p == nil {
		t.OnError("invalid packet", err)
		return
	}
	if t.upgrade && p.Type == packet.UPGRADE && t.ReadyState() == "open" {
		t.box.hand(t)
	}
	t.OnPacket(p)
}

// Send implements Transport. The engine calls it for what it sends itself; broadcasts go to the outbox directly.
func (t *webSocket) Send(packets []*packet.Packet) {
	for _, p := range packets {
		data, err := t.Parser().EncodePacket(p, t.SupportsBinary())
		if err != nil {
			continue // a packet type that the library itself does not know
		}
		_, text := data.(*types.StringBuffer)
		f := newFrame(data.Bytes(), !text)
		if p.Type == packet.PONG && t.upgrade && !t.drains() {
			t.writeProbe(f)
			continue
		}
		t.box.push(f)
	}
	t.Emit("drain")
}

// drains reports whether the outbox is ours yet.
func (t *webSocket) drains() bool {
	t.box.mu.Lock()
	defer t.box.mu.Unlock()
	return t.box.drain == drain(t)
}

// writeProbe answers the probe of an upgrade. The outbox still belongs to the polling session then, so that no
// other write can be under way.
func (t *webSocket) writeProbe(f *frame) {
	_ = t.conn.SetWriteDeadline(time.Now().Add(t.writeTimeout))
	if err := t.conn.WriteMessage(websocket.TextMessage, f.data); err != nil {
		_ = t.conn.Close() // read notices and ends the transport
	}
}

func (t *webSocket) ready() {
	if t.writing.CompareAndSwap(false, true) {
		go t.write()
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
				_ = t.conn.SetWriteDeadline(time.Now().Add(t.writeTimeout))
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
	t.slow()
	go func() { _ = t.conn.Close() }() // read notices; push must not wait, and closing TLS may write
}

// DoClose implements Transport: what waits is written first, within a second.
func (t *webSocket) DoClose(done types.Callable) {
	if t.upgrade && !t.drains() {
		_ = t.conn.Close()
	} else {
		t.box.finish()
		t.closing.Store(true)
		t.ready()
		time.AfterFunc(lingering, func() { _ = t.conn.Close() })
	}
	t.start() // a connection that is never read never learns that it is closed
	if done != nil {
		done()
	}
}

// OnClose implements Transport. It runs for every way a connection may end.
func (t *webSocket) OnClose() {
	if !t.closing.Load() {
		t.box.close(t)
		_ = t.conn.Close()
	}
	t.Transport.OnClose()
}
