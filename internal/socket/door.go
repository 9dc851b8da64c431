// Package socket is the realtime door: it admits a socket, turns its events into calls, and delivers frames to the
// rooms and users of this node.
package socket

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	socketio "github.com/zishang520/socket.io/servers/socket/v3"

	"rollcall/internal/auth"
	"rollcall/internal/complaint"
	"rollcall/internal/conference"
	"rollcall/internal/crew"
	"rollcall/internal/message"
	"rollcall/internal/notice"
	"rollcall/internal/peer"
	"rollcall/internal/rescue"
	"rollcall/internal/throttle"
	"rollcall/internal/tracing"
	"rollcall/internal/webhook"
)

// Config is what a Door needs to know; the names are those of the program's configuration.
type Config struct {
	Path                           string // begins and ends with a slash
	PingInterval, PingTimeout      time.Duration
	AllowEIO3                      bool
	EIO3PingInterval               time.Duration
	EIO3PingTimeout                time.Duration
	UpgradeTimeout, ConnectTimeout time.Duration
	MaxPayload, MaxQueueBytes      int
	EventsPerSecond                int
	MaxSessionsPerUser             int
	NodeID                         string
	Tokens                         *auth.Verifier // nil: everybody is who he says he is
	CheckOnce                      bool           // a socket outlives its token
	Leeway                         time.Duration  // how much later than its token a socket ends
	CookieName                     string         // of the cookie that may hold a token; "" is none
	AllowQueryToken                bool
	HandshakesPerSecond            int // of one address; 0 is no limit
	Origins                        peer.Origins
	Proxies                        peer.Proxies
	Ready                          func() error // why nobody can be let in for now, nil if they can
	Notices                        *notice.Notices
	Webhooks                       *webhook.Outbox // nil: nobody is told what clients have to say
	Net                            *rescue.Net     // catches panics; nil: one of its own
	Log                            *slog.Logger
	Metrics                        prometheus.Registerer
	Tracer                         *tracing.Tracer // nil: no traces
}

// Door lets sockets into the hall.
type Door struct {
	Config
	hall     *Hall
	house    *conference.House
	messages *message.Messages
	io       *socketio.Server
	engines  http.Handler
	metrics  metrics

	handshakes *throttle.Throttle // by address
	guesses    *throttle.Guesses  // at tokens, by address

	rarely   complaint.Rarely
	entering crew.Crew    // sockets that are being let in
	waiting  atomic.Int64 // how many those are
	closed   atomic.Bool  // nobody is let in any more
}

type metrics struct {
	connects *prometheus.CounterVec // by outcome
	slow     prometheus.Counter
	events   *prometheus.CounterVec // by name, of those we know
}

// waitingMost is how many sockets may wait to be let in. Whoever comes then is asked to come back, before a session exists: each of
// those that wait has a place in the next few transactions, and is not timed out by the crowd behind it.
const waitingMost = 1000

// sweepEvery is how often seats are compared with connections.
const sweepEvery = 5 * time.Second

// New builds the door of a hall. Nothing comes in before its ServeHTTP is called.
func New(c Config, hall *Hall, house *conference.House, messages *message.Messages) *Door {
	if c.Net == nil {
		c.Net = rescue.New(c.Log, nil)
	}
	d := &Door{Config: c, hall: hall, house: house, messages: messages, metrics: newMetrics(c.Metrics, hall)}
	d.handshakes, d.guesses = throttle.New(c.HandshakesPerSecond), throttle.NewGuesses(wrongPerSecond, looksAtOnce)
	o := socketio.DefaultServerOptions()
	o.SetServeClient(false)
	o.SetConnectTimeout(c.ConnectTimeout + 3*slack) // see listen
	o.SetParser(wire{c.Net})
	o.SetAdapter(roomsBuilder{hall.rooms})
	d.io = socketio.NewServer(nil, o)
	eio4 := newEngine(d, heartbeat{c.PingInterval, c.PingTimeout})
	eio3 := newEngine(d, heartbeat{c.EIO3PingInterval, c.EIO3PingTimeout})
	d.io.Bind(eio4)
	_ = eio4.On("connection", d.listen)
	d.io.Bind(eio3)
	_ = eio3.On("connection", d.listen)
	d.engines = byProtocol(eio4, eio3)
	d.io.Use(d.admit)
	_ = d.io.On("connection", d.connected)
	return d
}

func newMetrics(r prometheus.Registerer, hall *Hall) metrics {
	m := metrics{
		connects: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_connects_total", Help: "Sockets that asked to come in, by outcome."}, []string{"outcome"}),
		slow:     prometheus.NewCounter(prometheus.CounterOpts{Name: "rollcall_slow_clients_total", Help: "Connections closed because more waited for them than they may have waiting."}),
		events:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_client_events_total", Help: "Events from clients, by name and outcome."}, []string{"event", "outcome"}),
	}
	r.MustRegister(m.connects, m.slow, m.events, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "rollcall_sockets", Help: "Sockets on this node."}, func() float64 { return float64(hall.Sockets()) }))
	return m
}

// Run compares seats with connections until ctx ends.
func (d *Door) Run(ctx context.Context) error {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	var lost map[*seat]int
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			d.Net.Call("sweep", func() { lost = d.sweep(lost) })
		}
	}
}

// sweep ends seats whose connection is over although nobody said so, and closes connections that are of no more use: those
// whose farewell is over, and those whose session has been unknown to the house for as long as a sweep takes, whose clients
// come back. It returns those to look at again, and how often each was seen so.
func (d *Door) sweep(before map[*seat]int) (lost map[*seat]int) {
	lost = map[*seat]int{}
	for _, s := range d.hall.seats() {
		if s.conn.ReadyState() == "closed" {
			s.over()
			continue
		}
		gone, _ := s.isGone()
		who := s.person()
		switch {
		case gone && before[s] >= int(farewell/sweepEvery):
			s.drop()
			continue
		case gone:
		case who.sessionID == "" || d.house.Holds(who.sessionID):
			continue
		case before[s] > 0:
			d.Log.Warn("a socket without a session was closed", slog.String("user", who.userID))
			s.drop()
			continue
		}
		lost[s] = before[s] + 1
	}
	return lost
}

// Close lets nobody in any more and sends everybody home over the given time. It returns when the last connection
// was told to close and nobody is being let in.
func (d *Door) Close(over time.Duration) {
	d.closed.Store(true)
	d.hall.Drain(over)
	d.entering.Close()
	d.hall.DropAll()
}
