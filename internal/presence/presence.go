// Package presence knows who is connected to which conference and who is gone, said only after grace. It owns
// users, members, sessions, nodes, and the versions that rise with them.
package presence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"rollcall/internal/fault"
	"rollcall/internal/rescue"
	"rollcall/internal/store"
)

const (
	sweepEvery     = 200 * time.Millisecond
	reconcileEvery = 5 * time.Second
	settledAfter   = 5 * time.Second // how old a fact must be before its absence in the database is an error
	flushTimeout   = 3 * time.Second // how long a stop waits for what is still to be written
)

// Config is what a Presence needs. Record, Changed, Expelled, Ended, Log and Metrics may be nil.
type Config struct {
	DB          *store.DB
	Node        string        // id of this process among those that share the database
	Grace       time.Duration // how long a lost user stays reconnecting; 0: he is offline at once
	Heartbeat   time.Duration // how often this node says that it lives; 0: 3 s
	NodeTimeout time.Duration // how long another node's heartbeat must stand still before it is called dead; 0: 10 s
	Duplicates  string        // several sessions of a user in a conference: "multi", "newest" or "oldest"
	Retention   time.Duration // how long closed sessions are kept; 0: for ever

	// Record is called in the transaction that makes the changes; its error rolls them back.
	Record func(ctx context.Context, changes []Change) error
	// Changed is called after the commit, outside of locks and transactions. It must not block.
	Changed func(changes []Change)
	// Expelled is called when this node was called dead by another: all its sessions are closed, and so must be
	// its sockets. It must not block.
	Expelled func()
	// Ended is called with sessions of this process that another node has ended for good, where nobody has told this one so:
	// their sockets must be ended too. It must not block.
	Ended func(sessionIDs []string)

	Net     *rescue.Net // catches panics of the background; nil: one of its own
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Presence is the service. Its methods are safe for concurrent use; Run must run for Open, Close, CloseUsers and
// CloseConference to have an effect.
type Presence struct {
	cfg     Config
	queue   *queue
	meters  meters
	trouble trouble

	ready    chan struct{} // closed when this node is registered
	stopped  chan struct{} // closed when Run returns
	expelled chan struct{} // tells the heartbeat to register anew
	orphaned chan struct{} // tells reconcile that a node was claimed

	sweepEvery, reconcileEvery, settledAfter time.Duration // as the constants; tests are less patient
	trimFirst, trimEvery                     time.Duration

	writing sync.Mutex // held from a commit until it is told: nobody hears of commits in another order

	mu    sync.Mutex // guards what follows
	epoch int64      // of this node; 0 while it is not registered
	held  map[string]*hold
	// aloneUntil is until when no other node can have sockets; see Alone.
	aloneUntil time.Time
}

// hold is one session of this process. Presence.mu guards it, but refused, which belongs to the writer.
type hold struct {
	row       sessionRow
	trusted   bool      // the name in row is the token's
	role      string    // as the token says; "" when it says nothing
	committed time.Time // zero until the open is in the database
	closing   bool
	refused   bool // the open failed, a close that follows is void
}

// New returns a Presence that does nothing until Run.
func New(c Config) *Presence {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Net == nil {
		c.Net = rescue.New(c.Log, nil)
	}
	c.Heartbeat = cmp.Or(c.Heartbeat, 3*time.Second)
	c.NodeTimeout = cmp.Or(c.NodeTimeout, 10*time.Second)
	p := &Presence{
		cfg:     c,
		queue:   newQueue(),
		trouble: trouble{log: c.Log},
		ready:   make(chan struct{}), stopped: make(chan struct{}),
		expelled: make(chan struct{}, 1), orphaned: make(chan struct{}, 1),
		sweepEvery: sweepEvery, reconcileEvery: reconcileEvery, settledAfter: settledAfter,
		trimFirst: trimFirst, trimEvery: trimEvery,
		held: map[string]*hold{},
	}
	p.meters = newMeters(c.Metrics, p)
	return p
}

// Ready is closed when the node is registered and sessions can be opened.
func (p *Presence) Ready() <-chan struct{} { return p.ready }

// Run registers the node, then writes, sweeps, compares and beats until ctx is done. It then closes the sessions
// still held as lost, writes for at most 3 s what is queued, and signs the node off. It returns an error only
// when another process lives under this node's id. Call it once.
func (p *Presence) Run(ctx context.Context) error {
	defer close(p.stopped)
	if err := p.register(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("register node %s: %w", p.cfg.Node, err)
	}
	close(p.ready)

	late := context.WithoutCancel(ctx)
	drain, finish := context.WithCancel(late)
	abort, kill := context.WithCancel(late)
	defer kill()
	var writer sync.WaitGroup
	writer.Go(func() { p.cfg.Net.Call("write presence", func() { p.write(drain, abort) }) })

	loops, ctx := errgroup.WithContext(ctx)
	for _, loop := range []func(context.Context) error{p.sweep, p.reconcile, p.trim, p.heartbeat} {
		loops.Go(func() error { return p.cfg.Net.Try("loop of presence", func() error { return loop(ctx) }) }) // each round has a net of its own
	}
	err := loops.Wait()

	p.queue.seal()
	p.closeAll()
	finish()
	defer p.cfg.Net.After(flushTimeout, "stop writing", kill).Stop()
	writer.Wait()
	p.unregister(late)
	return err
}

// Open begins a session and returns once it is committed. Faults: Conflict "duplicate_session" when another
// session of the user is open under "oldest"; Unavailable when the database is away, too much is queued, ctx is
// done, or Run has ended. After an error the session is not open and Close need not be called. It must not be
// called within a transaction.
func (p *Presence) Open(ctx context.Context, s Session) (Arrival, error) {
	o, err := p.take(ctx, s)
	if err != nil {
		return Arrival{}, fmt.Errorf("open session: %w", err)
	}
	if !p.queue.push(o) {
		p.forget(s.ID)
		return Arrival{}, fmt.Errorf("open session: %w", fault.Away(errors.New("too many sessions wait to be opened, or the node stops")))
	}
	select {
	case r := <-o.done:
		if r.err != nil {
			return Arrival{}, fmt.Errorf("open session: %w", r.err)
		}
		return r.arrival, nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-p.stopped:
		err = errStopped
	}
	p.Close(s.ID, Lost)
	return Arrival{}, fmt.Errorf("open session: %w", fault.Away(err))
}

var errStopped = errors.New("presence has stopped")

// take makes this process the holder of a new session, waiting until the node is registered, and returns the
// op that opens it.
func (p *Presence) take(ctx context.Context, s Session) (*op, error) {
	select {
	case <-p.ready:
	case <-ctx.Done():
		return nil, fault.Away(context.Cause(ctx))
	case <-p.stopped:
		return nil, fault.Away(errStopped)
	}
	if s.ID == "" || s.UserID == "" {
		return nil, fault.Invalidf("a session needs an id and a user")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.epoch == 0 {
		return nil, fault.Away(errExpelled)
	}
	if p.held[s.ID] != nil {
		return nil, fmt.Errorf("session %s is open already", s.ID)
	}
	h := &hold{row: newSessionRow(s, p.cfg.Node, p.epoch), trusted: s.NameTrusted, role: s.Role}
	p.held[s.ID] = h
	return &op{kind: opening, row: h.row, held: h, done: make(chan outcome, 1)}, nil
}

// Close ends a session of this process; unknown and closed ones are nothing. It never blocks. While the database
// is away the close is kept, up to 20,000 of them; beyond that the comparison of sockets and rows finds it.
func (p *Presence) Close(sessionID string, why Reason) {
	p.mu.Lock()
	h := p.held[sessionID]
	if h == nil || h.closing {
		p.mu.Unlock()
		return
	}
	h.closing = true
	row := h.row
	p.mu.Unlock()
	row.close(time.Now().UnixMilli(), why)
	if !p.queue.push(&op{kind: closing, row: row, why: why, held: h}) {
		p.forget(sessionID)
	}
}

// Holds reports whether a session is open, or being opened, in this process.
func (p *Presence) Holds(sessionID string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held[sessionID] != nil
}

// Held returns the number of sessions of this process, those being opened or closed included.
func (p *Presence) Held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.held)
}

// users returns the number of users who have a session in this process. It counts them, which with 20,000 sessions takes
// about a millisecond of whoever asks for metrics.
func (p *Presence) users() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	users := make(map[string]struct{}, len(p.held))
	for _, h := range p.held {
		users[h.row.UserID] = struct{}{}
	}
	return len(users)
}

func (p *Presence) closeAll() {
	p.mu.Lock()
	ids := make([]string, 0, len(p.held))
	for id := range p.held {
		ids = append(ids, id)
	}
	p.mu.Unlock()
	for _, id := range ids {
		p.Close(id, Lost)
	}
}

func (p *Presence) forget(ids ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		delete(p.held, id)
	}
}

func (p *Presence) currentEpoch() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.epoch
}

// tell hands committed changes to whoever pushes them.
func (p *Presence) tell(changes []Change) {
	if p.cfg.Changed != nil && len(changes) > 0 {
		p.cfg.Net.Call("tell of presence", func() { p.cfg.Changed(changes) }) // it is committed, whoever cannot hear of it
	}
}

// round is one round of a loop. What fails in it, or panics, is noted; the next round tries again.
func (p *Presence) round(ctx context.Context, what string, f func(context.Context) error) error {
	err := p.cfg.Net.Try(what, func() error { return f(ctx) })
	if ctx.Err() == nil {
		p.trouble.note(what, err)
	}
	return err
}
