// Package socket is the realtime door: it admits a socket, turns its events into calls, and delivers frames to the
// rooms and users of this node.
package socket

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	socketio "github.com/zishang520/socket.io/servers/socket/v3"

	"rollcall/internal/conference"
	"rollcall/internal/crew"
	"rollcall/internal/message"
	"rollcall/internal/notice"
	"rollcall/internal/peer"
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
	Origins                        peer.Origins
	Proxies                        peer.Proxies
	Ready                          func() error // why nobody can be let in for now, nil if they can
	Notices                        *notice.Notices
	Webhooks                       *webhook.Outbox // nil: nobody is told what clients have to say
	Log                            *slog.Logger
	Metrics                        prometheus.Registerer
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

	entering crew.Crew   // sockets that are being let in
	closed   atomic.Bool // nobody is let in any more
}

type metrics struct {
	connects *prometheus.CounterVec // by outcome
	slow     prometheus.Counter
	events   *prometheus.CounterVec // by name, of those we know
	panics   prometheus.Counter
}

// retryAfter is what clients that cannot be let in for now are told, in seconds.
const retryAfter = 2

// sweepEvery is how often seats are compared with connections.
const sweepEvery = 5 * time.Second

// New builds the door of a hall. Nothing comes in before its ServeHTTP is called.
func New(c Config, hall *Hall, house *conference.House, messages *message.Messages) *Door {
	d := &Door{Config: c, hall: hall, house: house, messages: messages, metrics: newMetrics(c.Metrics, hall)}
	o := socketio.DefaultServerOptions()
	o.SetServeClient(false)
	o.SetConnectTimeout(c.ConnectTimeout)
	o.SetParser(wire{})
	o.SetAdapter(roomsBuilder{hall.rooms})
	d.io = socketio.NewServer(nil, o)
	eio4 := newEngine(d, heartbeat{c.PingInterval, c.PingTimeout})
	eio3 := newEngine(d, heartbeat{c.EIO3PingInterval, c.EIO3PingTimeout})
	d.io.Bind(eio4)
	_ = eio4.On("connection", listen)
	d.io.Bind(eio3)
	_ = eio3.On("connection", listen)
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
		panics:   prometheus.NewCounter(prometheus.CounterOpts{Name: "rollcall_socket_panics_total", Help: "Panics caught while handling a socket."}),
	}
	r.MustRegister(m.connects, m.slow, m.events, m.panics, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "rollcall_sockets", Help: "Sockets on this node."}, func() float64 { return float64(hall.Sockets()) }))
	return m
}

// Run compares seats with connections until ctx ends.
func (d *Door) Run(ctx context.Context) error {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	var lost map[*seat]bool
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			lost = d.sweep(lost)
		}
	}
}

// sweep ends seats whose connection is over although nobody said so, and closes connections whose session has been
// unknown to the house for as long as a sweep takes: their clients come back. It returns those to look at again.
func (d *Door) sweep(before map[*seat]bool) (lost map[*seat]bool) {
	lost = map[*seat]bool{}
	for _, s := range d.hall.seats() {
		if s.conn.ReadyState() == "closed" {
			s.over()
			continue
		}
		gone, _ := s.isGone()
		if who := s.person(); gone || who.sessionID == "" || d.house.Holds(who.sessionID) {
			continue
		}
		if before[s] {
			d.Log.Warn("a socket without a session was closed", slog.String("user", s.person().userID))
			s.drop()
			continue
		}
		lost[s] = true
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

// ServeHTTP answers the Engine.IO requests of both revisions. Whoever cannot be let in for now is refused here, before
// a session exists: stock clients come back after such a refusal, and never after a later one.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !d.Origins.Allow(r) {
		http.Error(w, "this page may not connect: its origin is not in http.allowed_origins", http.StatusForbidden)
		return
	}
	d.Origins.Answer(w, r)
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	r.Header.Del("Origin") // it was checked; the library would check it again, by a rule of its own
	q := r.URL.Query()
	switch eio := q.Get("EIO"); {
	case q.Has("j"):
		http.Error(w, "JSONP is not offered", http.StatusBadRequest)
		return
	case eio != "3" && eio != "4", eio == "3" && !d.AllowEIO3:
		http.Error(w, "this revision of the Engine.IO protocol is not spoken here", http.StatusBadRequest)
		return
	}
	if !q.Has("sid") {
		if err := d.open(); err != nil {
			d.metrics.connects.WithLabelValues("unavailable").Inc()
			w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
			http.Error(w, "try again in a moment", http.StatusServiceUnavailable)
			return
		}
	}
	if websocket.IsWebSocketUpgrade(r) {
		d.engines.ServeHTTP(w, r)
		return
	}
	answer := newResponse(w)
	defer answer.end()
	d.engines.ServeHTTP(answer, r)
}

// open reports why nobody can be let in for now.
func (d *Door) open() error {
	if d.closed.Load() {
		return errClosing
	}
	return d.Ready()
}
