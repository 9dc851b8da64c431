// Package message brings to people what backends and other people say to them: it stores first, hands it to sockets
// after, sends again what was not acknowledged, and keeps what cannot be delivered now.
package message

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sync/singleflight"

	"rollcall/internal/cluster"
	"rollcall/internal/complaint"
	"rollcall/internal/hall"
	"rollcall/internal/notice"
	"rollcall/internal/presence"
	"rollcall/internal/rescue"
	"rollcall/internal/store"
	"rollcall/internal/tracing"
	"rollcall/internal/webhook"
)

// Hall is where the sockets of this node sit. No method blocks.
type Hall interface {
	// Find returns the sockets of an audience.
	Find(to hall.Audience) []hall.Socket
	// Emit sends an event to an audience and returns who is in it.
	Emit(to hall.Audience, event string, args ...json.RawMessage) []hall.Socket
	// EmitAcked does so and asks each socket to acknowledge the notice; when one does, Messages.Acked is called.
	EmitAcked(to hall.Audience, noticeID, event string, args ...json.RawMessage) []hall.Socket
}

// Config is what Messages need. All of it is required but Webhooks.
type Config struct {
	DB       *store.DB
	Presence *presence.Presence
	Notices  *notice.Notices
	Webhooks *webhook.Outbox
	Hall     Hall
	Cluster  *cluster.Cluster

	// Members returns who belongs to a conference, or, when nobody knows, who is online in it.
	Members func(ctx context.Context, conferenceID, askedBy string) ([]string, error)
	// PushTree reads the tree of a conference again and has it pushed; it returns its version.
	PushTree func(ctx context.Context, conferenceID string) (int64, error)

	AckTimeout time.Duration // when a notice that must be acknowledged is first sent again
	Net        *rescue.Net   // catches panics of the background; nil: one of its own
	Log        *slog.Logger
	Metrics    prometheus.Registerer
	Tracer     *tracing.Tracer // nil: no traces
}

// Messages is the service. Safe for concurrent use; Run must run for what is due, sent again or acknowledged.
type Messages struct {
	Config
	metrics  metrics
	troubles complaint.Once
	counting singleflight.Group // looks at who is online and at names, one at a time

	ledger   *ledger
	repeats  *repeats
	arrivals *arrivals
	late     *queue[missed]
	unread   *queue[string] // users whose devices here are to be told what is unread, as another node has said
	tellings tellings
	due      chan struct{} // of capacity 1: something is due sooner than the due work may think

	now func() int64 // milliseconds since 1970
}

type metrics struct {
	said            *prometheus.CounterVec
	resends, acks   prometheus.Counter
	dropped, errors *prometheus.CounterVec
}

// New returns Messages.
func New(c Config) *Messages {
	reg := promauto.With(c.Metrics)
	if c.Net == nil {
		c.Net = rescue.New(c.Log, nil)
	}
	m := &Messages{
		Config: c,
		metrics: metrics{
			said:    reg.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_notices_total", Help: "What was said to people, by kind."}, []string{"kind"}),
			resends: reg.NewCounter(prometheus.CounterOpts{Name: "rollcall_resends_total", Help: "Notices sent again to a user because nobody had acknowledged them."}),
			acks:    reg.NewCounter(prometheus.CounterOpts{Name: "rollcall_notice_acks_total", Help: "Notices that a user acknowledged, each once."}),
			dropped: reg.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_message_dropped_total", Help: "Work that found its queue full, by queue; what heals it comes later."}, []string{"queue"}),
			errors:  reg.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_message_errors_total", Help: "Tries of background work that failed, by work."}, []string{"work"}),
		},
		ledger:   newLedger(),
		repeats:  newRepeats(c.AckTimeout),
		arrivals: newArrivals(),
		late:     newQueue[missed](lateMost),
		unread:   newQueue[string](unreadMost),
		due:      make(chan struct{}, 1),
		now:      func() int64 { return time.Now().UnixMilli() },
	}
	reg.NewGaugeFunc(prometheus.GaugeOpts{Name: "rollcall_arrivals_waiting", Help: "Sockets that have just sat down and were not yet brought what waits for them."}, func() float64 { return float64(m.arrivals.queue.len()) })
	reg.NewGaugeFunc(prometheus.GaugeOpts{Name: "rollcall_resends_waiting", Help: "Users and notices of this node of which an acknowledgement is awaited."}, func() float64 { return float64(m.repeats.len()) })
	return m
}

// Run does what is due, sends again, brings to who arrives what waits for him, and writes down acknowledgements, until
// ctx ends; then it writes for at most 3 s the acknowledgements that still wait. It returns nil. Call it once.
func (m *Messages) Run(ctx context.Context) error {
	var work sync.WaitGroup
	for name, step := range map[string]func(context.Context) error{
		"do what is due": m.doDue, "send notices again": m.resend, "bring what waits": m.welcome,
		"look again for who is reconnecting": m.lookAgain, "write down what became of notices": m.writeDown,
		"tell devices what is unread": m.tellHeard,
	} {
		work.Go(func() { m.Net.Call(name, func() { m.keep(ctx, name, step) }) })
	}
	work.Wait()
	m.finish(ctx)
	return nil
}
