// Package webhook is the outbox towards the meeting backend: what happened is written in the transaction of the fact and
// sent afterwards, in order per endpoint and conference, until it is taken or given up.
package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rollcall/internal/rescue"
	"rollcall/internal/store"
	"rollcall/internal/tracing"
)

// Endpoint is an address of the meeting backend and what it is told.
type Endpoint struct {
	URL    string   // http or https, private addresses too; user and password in it become basic authentication
	Secret string   // whsec_ and base64, as in Standard Webhooks; "": not signed
	Events []string // types; empty or "*" takes all
	Plain  bool     // the body is Event.Plain as it is, for backends that were told in their old way; events without it are not sent there
}

// Event is something that happened.
type Event struct {
	Type         string          // such as presence.online: 1 to 32 characters
	ConferenceID string          // "": none
	At           int64           // milliseconds since 1970; 0: now
	Data         map[string]any  // what stands in data beside conferenceId, seq and at; must be fit for JSON
	Plain        json.RawMessage // the body for Plain endpoints; nil: not for them
}

// Config is what an Outbox needs.
type Config struct {
	DB        *store.DB
	Endpoints []Endpoint
	RetryBase time.Duration // pause before the first retry, later ones double; 0: 5 s
	Retention time.Duration // how long dead events are kept, and sent ones if it is less than 7 days; 0: for ever, and 7 days
	Net       *rescue.Net   // catches panics of the background; nil: one of its own
	Log       *slog.Logger
	Metrics   prometheus.Registerer // nil: not exported
	Tracer    *tracing.Tracer       // nil: no traces
	Client    *http.Client          // its redirect policy is not used; nil: one of its own
}

// Outbox keeps what the endpoints are to be told and sends it while Run runs. Safe for concurrent use. A nil *Outbox
// has no endpoints and no events.
type Outbox struct {
	db        *store.DB
	endpoints []*endpoint
	byKey     map[string]*endpoint
	retry     policy
	pace      pace
	retention time.Duration
	client    *http.Client
	desk      *desk
	metrics   *metrics
	trouble   *trouble
	net       *rescue.Net
	tracer    *tracing.Tracer
	wake      chan struct{} // of capacity 1: there is something to look at
}

// pace holds the times and bounds that are nobody else's business, and that tests shorten.
type pace struct {
	attempt time.Duration // bound of one request
	lease   time.Duration // how long a node may work on a lane without saying so again; well above attempt
	poll    time.Duration // looking for what other nodes left, and pauses while the database is away
	goodbye time.Duration // for requests under way when Run ends, and again for noting what became of them
	shift   int           // events of one lane before others get their turn

	count     time.Duration // between two counts of what is pending
	trimFirst time.Duration // after the start
	trimEvery time.Duration
	trimPause time.Duration // between two batches, so that nobody waits
	trimBatch int           // rows of one transaction
	keepSent  time.Duration
}

func usualPace() pace {
	return pace{
		attempt: 10 * time.Second, lease: 30 * time.Second, poll: time.Second, goodbye: 2 * time.Second, shift: 20,
		count: 10 * time.Second, trimFirst: time.Minute, trimEvery: 10 * time.Minute, trimPause: 50 * time.Millisecond, trimBatch: 500, keepSent: 7 * 24 * time.Hour,
	}
}

// New returns an Outbox. The error says which endpoint, counted from 0, has a bad URL or secret or is given twice; it
// holds neither.
func New(c Config) (*Outbox, error) {
	if c.Net == nil {
		c.Net = rescue.New(c.Log, nil)
	}
	o := &Outbox{
		db: c.DB, byKey: map[string]*endpoint{}, retry: usualPolicy(c.RetryBase), pace: usualPace(), retention: c.Retention,
		client: clientOf(c.Client), desk: newDesk(), metrics: newMetrics(c.Metrics), trouble: &trouble{log: c.Log}, net: c.Net, tracer: c.Tracer, wake: make(chan struct{}, 1),
	}
	for i, e := range c.Endpoints {
		made, err := newEndpoint(e)
		if err != nil {
			return nil, fmt.Errorf("webhook endpoint %d: %w", i, err)
		}
		if o.byKey[made.key] != nil {
			return nil, fmt.Errorf("webhook endpoint %d: its URL is that of another one", i)
		}
		made.index = i
		o.byKey[made.key] = made
		o.endpoints = append(o.endpoints, made)
	}
	return o, nil
}

// rouse has the sender look for work. It never blocks.
func (o *Outbox) rouse() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
