// Package conference holds the rules of a meeting: its tree, who may come in, and what must be pushed and said
// when something changes.
package conference

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rollcall/internal/cluster"
	"rollcall/internal/complaint"
	"rollcall/internal/crew"
	"rollcall/internal/hall"
	"rollcall/internal/notice"
	"rollcall/internal/presence"
	"rollcall/internal/rescue"
	"rollcall/internal/store"
	"rollcall/internal/tracing"
	"rollcall/internal/webhook"
)

// TreePush brings a room from one version of its tree to the next. Who has seen From and asked for patches gets Patch, anybody else
// Tree.
type TreePush struct {
	From, Version int64
	Tree          json.RawMessage
	Patch         func() json.RawMessage // made when it is first called; nil, or a function that returns nil: no patch can say it
}

// RosterPush brings a room from one version of its roster to the next. Who has seen From gets Diff, anybody else State.
type RosterPush struct {
	From, Version int64
	Diff, State   json.RawMessage
}

// Hall is where the sockets of this node sit. No method blocks; what a slow socket misses is the hall's affair.
type Hall interface {
	// Occupancy returns how many sockets are in the conference's room, those that only watch included.
	Occupancy(conferenceID string) int
	// Push gives the room a version of the tree, of the roster, or of both; nil is neither. A socket that has seen a later one is left
	// alone. It returns how many users the room has, whatever number of sockets each of them.
	Push(conferenceID string, t *TreePush, r *RosterPush) (users int)
	// Find returns the sockets of an audience.
	Find(to hall.Audience) []hall.Socket
	// EmitAll sends events to their audiences, in order.
	EmitAll(events []hall.Event)
	// End says kicked with the reason to the sockets and disconnects them for good. It returns how many there were.
	End(to hall.Audience, reason string) int
	// Holds reports whether a session is on this node, and EndSession does to it what End does.
	Holds(sessionID string) bool
	EndSession(sessionID, reason string)
}

// Config is what a House needs. All of it is required but Cluster, Webhooks, MembersURL, Client, Away and Net, and the durations and
// LogTree, which have defaults in the configuration of the program.
type Config struct {
	DB       *store.DB
	Presence *presence.Presence
	Notices  *notice.Notices
	Hall     Hall
	Cluster  *cluster.Cluster // nil: there are no other nodes
	Webhooks *webhook.Outbox  // nil: the backend is told nothing

	AutoCreate      bool          // a conference nobody registered comes to be by its first arrival
	MaxTreeBytes    int           // largest tree that our own writes may make
	PushMinInterval time.Duration // 0: chosen by what pushing costs
	PollInterval    time.Duration // how often versions are compared, which heals lost wake-ups
	DetailMax       int           // people online up to which each of them is told about
	LogTree         string        // summary, full or off
	Grace           time.Duration // as presence has it: how long who shares and is lost may take to come back
	Auth            bool          // auth.mode is not none: who is taken off a members list has to go
	OpenConferences bool          // who comes by the members list may enter where nobody is registered
	MembersURL      string        // asked for members of conferences that have none; with {conferenceId} and {userId}; "": nobody is asked
	Client          *http.Client  // for MembersURL; nil: one of our own
	Away            func() bool   // whether the database is known not to answer; it does not wait. Nil: nobody knows

	Net     *rescue.Net // catches panics of the background; nil: one of its own
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Tracer  *tracing.Tracer // nil: no traces
}

// House is all conferences of this node. Safe for concurrent use.
type House struct {
	Config
	metrics metrics

	ctx     context.Context // ends with Close; bounds every keeper
	stop    context.CancelFunc
	working crew.Crew // keepers that rebuild

	mu      sync.Mutex // guards keepers
	keepers map[string]*keeper
	again   chan struct{} // of capacity 1: see LookAgain

	crier    *crier
	outside  *outside
	asked    *asked
	timers   *agenda // ends of timers
	shares   *agenda // when to look after who shares
	gate     gate
	broken   brokenSections
	troubles complaint.Once
}

type metrics struct {
	rebuilds, pushes, broken, timers prometheus.Counter
	rebuildSeconds, pushSeconds      prometheus.Histogram
}

// New returns a House. Presence must call its Record and Changed; see there.
func New(c Config) *House {
	if c.Net == nil {
		c.Net = rescue.New(c.Log, nil)
	}
	if c.Cluster == nil {
		c.Cluster = cluster.Solo(c.DB, c.Hall, c.Net, c.Log)
	}
	h := &House{Config: c, keepers: map[string]*keeper{}, again: make(chan struct{}, 1)}
	h.ctx, h.stop = context.WithCancel(context.Background())
	h.crier, h.outside, h.asked = newCrier(h), newOutside(h), newAsked(h)
	h.timers = h.agenda("conference_timers", "ends_at", "finish timers", h.timerDue)
	h.shares = h.agenda("conference_shares", "due_at", "end sharings", h.shareDue)
	h.gate.house = h
	h.metrics = metrics{
		rebuilds:       prometheus.NewCounter(prometheus.CounterOpts{Name: "rollcall_tree_rebuilds_total", Help: "Snapshots of a conference read from the database."}),
		pushes:         prometheus.NewCounter(prometheus.CounterOpts{Name: "rollcall_tree_pushes_total", Help: "Versions of a tree handed to a room."}),
		broken:         prometheus.NewCounter(prometheus.CounterOpts{Name: "rollcall_broken_sections_total", Help: "Sections left out because their text is not JSON."}),
		timers:         prometheus.NewCounter(prometheus.CounterOpts{Name: "rollcall_timers_finished_total", Help: "Timers that this node finished."}),
		rebuildSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "rollcall_tree_rebuild_seconds", Help: "Time to read and encode one snapshot.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 12)}),
		pushSeconds:    prometheus.NewHistogram(prometheus.HistogramOpts{Name: "rollcall_push_seconds", Help: "Time to hand one version to all sockets of a room on this node.", Buckets: prometheus.ExponentialBuckets(0.00005, 4, 9)}),
	}
	c.Metrics.MustRegister(h.metrics.rebuilds, h.metrics.pushes, h.metrics.broken, h.metrics.timers, h.metrics.rebuildSeconds, h.metrics.pushSeconds,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "rollcall_conferences_open", Help: "Conferences that this node keeps in memory."}, func() float64 {
			h.mu.Lock()
			defer h.mu.Unlock()
			return float64(len(h.keepers))
		}))
	return h
}

// Run compares versions, announces and finishes what is due, and lets go of empty conferences, until ctx ends. It
// returns when all work it started is done.
func (h *House) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	for _, run := range []func(context.Context){
		h.every(h.PollInterval, h.poll), h.every(h.PollInterval, h.findLostShares), h.every(idleAfter, h.dropIdle),
		h.pollAgain, h.crier.run, h.outside.run, h.timers.run, h.shares.run,
	} {
		loops.Go(func() { h.Net.Call("loop of conferences", func() { run(ctx) }) }) // each round has a net of its own
	}
	loops.Wait()
	h.stop()
	h.working.Close()
	return nil
}

// every returns a loop that calls f each interval.
func (h *House) every(interval time.Duration, f func(context.Context)) func(context.Context) {
	return func(ctx context.Context) {
		t := time.NewTicker(interval)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				h.Net.Call("look around", func() { f(ctx) })
			}
		}
	}
}

// note logs an error of work that is tried again, once until it succeeds. Names of work are few: they are code.
func (h *House) note(what string, err error) {
	if errors.Is(err, rescue.ErrPanic) { // is logged
		return
	}
	if h.troubles.Begins(what, err != nil) {
		h.Log.Warn("could not "+what+", trying again", slog.Any("error", err))
	}
}

func now() int64 { return time.Now().UnixMilli() }
