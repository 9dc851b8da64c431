package socket

import (
	"time"

	"github.com/zishang520/socket.io/parsers/engine/v3/packet"
	"github.com/zishang520/socket.io/servers/engine/v3/transports"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// webSocketBuilder makes the library use our WebSocket transport instead of its own, which starts to read before
// its listeners are there, queues without bound and writes without a deadline.
type webSocketBuilder struct {
	transports.WebSocketBuilder
	lines *lines
}

// New implements the library's TransportCtor for a WebSocket that is to take over a polling session. All others begin with a session
// of ours.
func (b *webSocketBuilder) New(ctx *types.HttpContext) transports.Transport {
	t := newWebSocket(b.lines, ctx.Websocket.NetConn(), ctx)
	t.handed, t.upgrade, t.ended = ctx.Websocket, true, make(chan struct{})
	_ = ctx.Websocket.Once("close", func(...any) { t.OnClose() })
	sid := ctx.Query().Peek("sid")
	t.SetSid(sid)
	if t.box, t.in = b.lines.ends(sid); t.box == nil { // the session is over
		t.box, t.in = b.lines.newEnds(t)
	}
	return t
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
	if err := t.conn.writeAll(t.lines.writeTimeout, newFrame([]byte("3"+probe), false).wire); err != nil {
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
