package socket

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/zishang520/socket.io/parsers/engine/v3/packet"
	"github.com/zishang520/socket.io/parsers/engine/v3/parser"
	"github.com/zishang520/socket.io/servers/engine/v3"
	"github.com/zishang520/socket.io/servers/engine/v3/transports"
	socketio "github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"

	"rollcall/internal/rescue"
)

// lines is what every transport needs to know.
type lines struct {
	maxQueue     int           // bytes that may wait for one client
	maxPayload   int64         // bytes of one incoming packet or polling body
	perSecond    int           // events of one client
	writeTimeout time.Duration // how long one write may be stuck
	interval     time.Duration // of heartbeats
	timeout      time.Duration // of a heartbeat, as clients are told
	silence      time.Duration // how long a client may say nothing at all
	net          *rescue.Net
	slow         func()             // counts a client that was given up because it reads too slowly
	rejected     func(event string) // counts an event that was too much
	flooded      func(sid string)   // tells of a client that is disconnected because it went on
	ends         func(sid string) (*outbox, *intake)
}

// carrier is a transport of ours: what it carries passes these two, which a transport that takes over goes on with.
type carrier interface{ ends() (*outbox, *intake) }

// newEnds makes the two for a transport with which a connection begins.
func (l *lines) newEnds(d drain) (*outbox, *intake) {
	box := newOutbox(l.maxQueue, d)
	return box, newIntake(l.perSecond, box, l.rejected)
}

// heartbeat is how a revision of Engine.IO keeps its connections alive.
type heartbeat struct{ interval, timeout time.Duration }

// slack is what a client that keeps to its heartbeat may be late.
const slack = 500 * time.Millisecond

// patience is the heartbeat timeout of the engine. It begins to wait for the answer to a ping after it has sent it, so that an answer
// that is quicker than that ends the wait before; the one that begins then nobody ends but the next ping, and one in fifty sockets that
// answer every ping was closed by it within a minute. After an upgrade it does not wait at all. So silence is our transports' own
// business, and this is far longer. It ends, because the engine may also begin to wait for a socket that has just closed, and
// keeps that until then.
func (b heartbeat) patience() time.Duration { return 5 * (b.interval + b.timeout) }

// newEngine builds an engine on our transports. Each revision of the protocol has its own, as ping values are one
// setting of an engine.
func newEngine(d *Door, beat heartbeat) *revision {
	c := d.Config
	var e engine.Server
	l := &lines{
		maxQueue: c.MaxQueueBytes, maxPayload: int64(c.MaxPayload), perSecond: c.EventsPerSecond, writeTimeout: c.PingInterval + c.PingTimeout,
		interval: beat.interval, timeout: beat.timeout, silence: beat.interval + beat.timeout + slack, net: c.Net, slow: d.metrics.slow.Inc, flooded: d.flooded,
		rejected: func(event string) { d.metrics.events.WithLabelValues(event, "rate_limited").Inc() },
		ends: func(sid string) (*outbox, *intake) {
			if conn, ok := e.Clients().Load(sid); ok {
				if t, ok := conn.Transport().(carrier); ok {
					return t.ends()
				}
			}
			return nil, nil
		},
	}
	o := socketio.DefaultServerOptions()
	o.SetTransports(types.NewSet[transports.TransportCtor](&pollingBuilder{lines: l}, &webSocketBuilder{lines: l}))
	o.SetPingInterval(beat.interval)
	o.SetPingTimeout(beat.patience())
	o.SetUpgradeTimeout(c.UpgradeTimeout)
	o.SetMaxHttpBufferSize(int64(c.MaxPayload))
	o.SetAllowEIO3(c.AllowEIO3)
	e = engine.NewServer(o)
	return newRevision(e, l)
}

// encoded encodes a packet of the engine. The first of a session tells the client the timeout of a heartbeat, which the engine does
// not know.
func (l *lines) encoded(by parser.Parser, p *packet.Packet, binary bool) (types.BufferInterface, error) {
	if p.Type == packet.OPEN {
		text, err := io.ReadAll(p.Data)
		if err != nil {
			return nil, err
		}
		var open map[string]json.RawMessage
		if err := json.Unmarshal(text, &open); err != nil {
			return nil, err
		}
		open["pingTimeout"] = json.RawMessage(strconv.FormatInt(l.timeout.Milliseconds(), 10))
		if text, err = json.Marshal(open); err != nil {
			return nil, err
		}
		p = &packet.Packet{Type: p.Type, Data: types.NewStringBuffer(text), Options: p.Options}
	}
	return by.EncodePacket(p, binary)
}

// listen begins to read from a fresh WebSocket. It is registered after the library's own listener for new
// connections, and so runs when nothing that arrives can be lost any more.
func (d *Door) listen(args ...any) {
	defer d.Net.Catch("listen to a connection")
	conn, ok := args[0].(engine.Socket)
	if !ok {
		return
	}
	if t, ok := conn.Transport().(*webSocket); ok {
		t.start()
	}
	// The library's own timeout for CONNECT closes politely: with a heartbeat on its way at that moment it waits for what never comes.
	// Ours comes before it, and behind the first ping, which by default is sent at that very moment.
	d.Net.After(d.ConnectTimeout+slack, "end a silent connection", func() {
		if d.hall.holder(conn.Id()) == nil {
			conn.Close(true)
		}
	})
}

// flooded tells of a client that goes on sending more than it may and is disconnected, once in a while: who floods comes back.
func (d *Door) flooded(sid string) {
	if !d.rarely.Again("flood") {
		return
	}
	if s := d.hall.holder(sid); s != nil {
		d.Log.Warn("a client that floods was disconnected", slog.String("user", s.person().userID), slog.String("ip", s.ip))
		return
	}
	d.Log.Warn("a client that floods was disconnected before it was let in")
}

// byProtocol sends a request to the engine of its protocol revision.
func byProtocol(eio4, eio3 http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("EIO") == "4" {
			eio4.ServeHTTP(w, r)
			return
		}
		eio3.ServeHTTP(w, r)
	})
}
