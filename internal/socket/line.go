package socket

import (
	"net/http"
	"time"

	"github.com/zishang520/socket.io/servers/engine/v3"
	"github.com/zishang520/socket.io/servers/engine/v3/transports"
	socketio "github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// lines is what every transport needs to know.
type lines struct {
	maxQueue     int                              // bytes that may wait for one client
	maxPayload   int64                            // bytes of one incoming packet or polling body
	writeTimeout time.Duration                    // how long one write may be stuck
	slow         func()                           // counts a client that was given up because it reads too slowly
	guard        func(where string, after func()) // deferred: catches a panic
	outboxOf     func(sid string) *outbox
}

// carrier is a transport of ours.
type carrier interface{ outbox() *outbox }

// heartbeat is how a revision of Engine.IO keeps its connections alive.
type heartbeat struct{ interval, timeout time.Duration }

// newEngine builds an engine on our transports. Each revision of the protocol has its own, as ping values are one
// setting of an engine.
func newEngine(d *Door, beat heartbeat) engine.Server {
	c := d.Config
	var e engine.Server
	l := lines{
		maxQueue: c.MaxQueueBytes, maxPayload: int64(c.MaxPayload), writeTimeout: c.PingInterval + c.PingTimeout,
		slow: d.metrics.slow.Inc, guard: d.guard,
		outboxOf: func(sid string) *outbox {
			if conn, ok := e.Clients().Load(sid); ok {
				if t, ok := conn.Transport().(carrier); ok {
					return t.outbox()
				}
			}
			return nil
		},
	}
	o := socketio.DefaultServerOptions()
	o.SetTransports(types.NewSet[transports.TransportCtor](&pollingBuilder{lines: l}, &webSocketBuilder{lines: l}))
	o.SetPingInterval(beat.interval)
	o.SetPingTimeout(beat.timeout)
	o.SetUpgradeTimeout(c.UpgradeTimeout)
	o.SetMaxHttpBufferSize(int64(c.MaxPayload))
	o.SetAllowEIO3(c.AllowEIO3)
	e = engine.NewServer(o)
	return e
}

// listen begins to read from a fresh WebSocket. It is registered after the library's own listener for new
// connections, and so runs when nothing that arrives can be lost any more.
func listen(args ...any) {
	if conn, ok := args[0].(engine.Socket); ok {
		if t, ok := conn.Transport().(*webSocket); ok {
			t.start()
		}
	}
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
