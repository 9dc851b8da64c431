// Package cluster carries between the nodes of one database what concerns the sockets of all of them: letters, which are rows
// of a mailbox, and, by Redis, the news that there are any or that a conference has changed.
package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/redis/go-redis/v9"

	"rollcall/internal/complaint"
	"rollcall/internal/hall"
	"rollcall/internal/rawjson"
	"rollcall/internal/rescue"
	"rollcall/internal/store"
)

// Hall is where the sockets of this node sit. No method blocks.
type Hall interface {
	// EmitAll sends events to their audiences, in order.
	EmitAll(events []hall.Event)
	// End says kicked with the reason to the sockets and disconnects them for good.
	End(to hall.Audience, reason string) int
}

// Config is what a Cluster needs. DB, Node and Hall are required.
type Config struct {
	DB   *store.DB
	Node string // id of this process
	Hall Hall

	// Alone reports whether surely no other node serves: then nothing is posted. Nil: never.
	Alone func() bool
	// Receive is given letters of kinds that this package does not know, one after another. It must not block. Nil: there are none.
	Receive func(kind string, body json.RawMessage) error
	// Changed is told that other nodes have changed a conference: its content, or only who is there. It must not block.
	Changed func(conferenceID string, content bool)
	// Missed is told that such news may have been lost. It must not block.
	Missed func()

	Redis  redis.UniversalClient // nil: everybody finds news by looking every PollInterval
	Prefix string                // of the channels
	// PollInterval is how often the mailbox is read although nobody said that there is anything; 0: 3 s.
	PollInterval time.Duration

	Net     *rescue.Net // catches panics of the background; nil: one of its own
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: nobody counts
}

// Cluster is the other nodes, seen from this one. Its methods are safe for concurrent use; Run must run for anything to be
// received.
type Cluster struct {
	Config
	metrics  metrics
	troubles complaint.Once
	ready    chan struct{} // closed when nothing that is posted from now on is missed

	mail   chan struct{} // of capacity 1: there may be letters
	missed chan struct{} // of capacity 1: news may have been lost
	news   news
	reader reader
}

type metrics struct {
	posted, received, wakes, woken, failed prometheus.Counter
}

// New returns a Cluster.
func New(c Config) *Cluster {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Net == nil {
		c.Net = rescue.New(c.Log, nil)
	}
	c.PollInterval = cmp.Or(c.PollInterval, 3*time.Second)
	counter := func(name, help string) prometheus.Counter {
		return promauto.With(c.Metrics).NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return &Cluster{
		Config: c, ready: make(chan struct{}), mail: make(chan struct{}, 1), missed: make(chan struct{}, 1), news: newNews(),
		metrics: metrics{
			posted:   counter("rollcall_cluster_letters_posted_total", "Letters that this node wrote for other nodes."),
			received: counter("rollcall_cluster_letters_received_total", "Letters that this node read, its own that it had to read included."),
			wakes:    counter("rollcall_cluster_wakes_sent_total", "Messages to other nodes by Redis: there is news."),
			woken:    counter("rollcall_cluster_wakes_heard_total", "Messages of other nodes by Redis."),
			failed:   counter("rollcall_cluster_redis_failures_total", "Times that Redis could not be told or listened to; others then look by themselves."),
		},
	}
}

// Solo returns a Cluster of one node, which need not Run.
func Solo(db *store.DB, h Hall, net *rescue.Net, log *slog.Logger) *Cluster {
	return New(Config{DB: db, Hall: h, Alone: func() bool { return true }, Net: net, Log: log})
}

// Ready is closed when this node reads all letters that are posted from then on. Nobody should be let in before.
func (c *Cluster) Ready() <-chan struct{} { return c.ready }

// Run receives until ctx ends. It returns nil. Call it once.
func (c *Cluster) Run(ctx context.Context) error {
	var work sync.WaitGroup
	loops := []func(context.Context){c.readMail, c.trim, c.tellMissed}
	if c.Redis != nil {
		loops = append(loops, c.publish, c.listen)
	}
	for _, loop := range loops {
		work.Go(func() { c.Net.Call("loop of cluster", func() { loop(ctx) }) }) // each round has a net of its own
	}
	work.Wait()
	return nil
}

// IsAlone reports whether surely no other node serves, so that nobody needs to be told anything.
func (c *Cluster) IsAlone() bool {
	return c.DB.Dialect() == store.SQLite || c.Alone != nil && c.Alone()
}

// Post has letters brought to the other nodes, and to this one if they say so: they are written in the transaction of ctx, or in
// one of their own, and reach whoever serves when it is committed. What one commit after the other posts everybody gets in that
// order, on whatever node.
func (c *Cluster) Post(ctx context.Context, letters ...hall.Letter) error {
	if len(letters) == 0 {
		return nil
	}
	if !c.IsAlone() {
		return c.Forward(ctx, letters)
	}
	store.AfterCommit(ctx, func() {
		c.hand(mine(letters))
		c.makeUp(ctx, letters)
	})
	return nil
}

// makeUp posts, behind a transaction, what was not posted in it: another node may have begun to serve meanwhile.
func (c *Cluster) makeUp(ctx context.Context, letters []hall.Letter) {
	if c.IsAlone() {
		return
	}
	late := make([]hall.Letter, len(letters))
	for i, l := range letters {
		l.Mine = false // was done here
		late[i] = l
	}
	c.note("post letters to a node that has just come", c.Forward(context.WithoutCancel(store.Outside(ctx)), late))
}

// Emit sends an event to an audience on all nodes once the transaction of ctx is committed; see Post.
func (c *Cluster) Emit(ctx context.Context, to hall.Audience, event string, args ...json.RawMessage) error {
	l, err := EmitLetter(to, event, args...)
	if err != nil {
		return err
	}
	return c.Post(ctx, l)
}

// End does to the sockets of an audience on all nodes what Hall.End does, once the transaction of ctx is committed.
func (c *Cluster) End(ctx context.Context, to hall.Audience, reason string) error {
	store.AfterCommit(ctx, func() { c.Net.Call("end sockets", func() { c.Hall.End(to, reason) }) })
	return c.EndElsewhere(ctx, "", to, reason)
}

// EndElsewhere is End for one other node, or for all of them when that is "".
func (c *Cluster) EndElsewhere(ctx context.Context, node string, to hall.Audience, reason string) error {
	l, err := Letter(kindEnd, endBody{to, reason})
	if err != nil {
		return err
	}
	l.To = node
	return c.Post(ctx, l)
}

// What this package itself does with letters.
const (
	kindEmit = "emit"
	kindEnd  = "end"
)

// emitBody holds arguments as text, which reaches clients byte by byte.
type emitBody struct {
	To    hall.Audience
	Event string
	Args  []string
}

type endBody struct {
	To     hall.Audience
	Reason string
}

// EmitLetter returns the letter that does on every node, the poster's too, what Emit is there for.
func EmitLetter(to hall.Audience, event string, args ...json.RawMessage) (hall.Letter, error) {
	body := emitBody{To: to, Event: event}
	for _, a := range args {
		body.Args = append(body.Args, string(a))
	}
	l, err := Letter(kindEmit, body)
	l.Mine = true
	return l, err
}

// Letter returns a letter for the other nodes.
func Letter(kind string, body any) (hall.Letter, error) {
	text, err := rawjson.Encode(body)
	if err != nil {
		return hall.Letter{}, fmt.Errorf("write a letter: %w", err)
	}
	return hall.Letter{Kind: kind, Body: text}, nil
}

// mine returns the letters that are also for the node that posts them.
func mine(letters []hall.Letter) []hall.Letter {
	return slices.DeleteFunc(slices.Clone(letters), func(l hall.Letter) bool { return !l.Mine })
}

// hand delivers letters in order and notes what goes wrong. One that breaks whoever gets it is not delivered again. Events that come one
// after the other go to the sockets together.
func (c *Cluster) hand(letters []hall.Letter) {
	var events []hall.Event
	emit := func() {
		if len(events) > 0 {
			c.Net.Call("deliver letters", func() { c.Hall.EmitAll(events) })
		}
		events = nil
	}
	for _, l := range letters {
		if l.Kind == kindEmit {
			e, err := readEmit(l.Body)
			if c.note("read a letter", err); err == nil {
				events = append(events, e)
			}
			continue
		}
		emit()
		c.note("deliver a letter", c.Net.Try("deliver a letter", func() error { return c.deliver(l.Kind, l.Body) }))
	}
	emit()
}

func readEmit(text []byte) (hall.Event, error) {
	var body emitBody
	if err := json.Unmarshal(text, &body); err != nil {
		return hall.Event{}, fmt.Errorf("read a letter: %w", err)
	}
	e := hall.Event{To: body.To, Name: body.Event, Args: make([]json.RawMessage, len(body.Args))}
	for i, a := range body.Args {
		e.Args[i] = json.RawMessage(a)
	}
	return e, nil
}

// deliver does what a letter says that is no event.
func (c *Cluster) deliver(kind string, text []byte) error {
	switch kind {
	case kindEnd:
		var body endBody
		if err := json.Unmarshal(text, &body); err != nil {
			return fmt.Errorf("read a letter: %w", err)
		}
		c.Hall.End(body.To, body.Reason)
	default:
		if c.Receive != nil {
			return c.Receive(kind, text)
		}
	}
	return nil
}

// tellMissed says, when news may have been lost, that it may: once for many reasons at the same time.
func (c *Cluster) tellMissed(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.missed:
			if c.Missed != nil {
				c.Net.Call("look what was missed", c.Missed)
			}
		}
	}
}

// note logs an error of work that is tried again, or made up for, once until it succeeds.
func (c *Cluster) note(what string, err error) {
	if errors.Is(err, rescue.ErrPanic) { // is logged
		return
	}
	if c.troubles.Begins(what, err != nil) {
		c.Log.Warn("could not "+what, slog.Any("error", err))
	}
}

// nudge leaves one message in a channel that has room for one.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
