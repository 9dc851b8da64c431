package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/redis/go-redis/v9"

	"rollcall/internal/cluster"
	"rollcall/internal/conference"
	"rollcall/internal/config"
	"rollcall/internal/explain"
	"rollcall/internal/hall"
	"rollcall/internal/id"
	"rollcall/internal/message"
	"rollcall/internal/notice"
	"rollcall/internal/peer"
	"rollcall/internal/presence"
	"rollcall/internal/rescue"
	"rollcall/internal/rest"
	"rollcall/internal/socket"
	"rollcall/internal/store"
	"rollcall/internal/tracing"
	"rollcall/internal/webhook"
	"rollcall/web"
)

// stopTimeout bounds each step of taking the house down, behind the drain.
const stopTimeout = 5 * time.Second

// program is the running service, floor by floor.
type program struct {
	config   config.Config
	log      *slog.Logger
	registry *prometheus.Registry
	net      *rescue.Net
	tracer   *tracing.Tracer // nil without tracing.endpoint
	locks    locks
	db       *store.DB
	redis    *redis.Client // nil without Redis
	health   *health
	presence *presence.Presence
	cluster  *cluster.Cluster
	notices  *notice.Notices
	webhooks *webhook.Outbox
	house    *conference.House
	messages *message.Messages
	explain  *explain.Explainer
	hall     *socket.Hall
	door     *socket.Door
	rest     *rest.Door
	draining atomic.Bool
}

// errTold is a failure that is in the log already.
var errTold = errors.New("told in the log")

// errEnded is of a part that was to run until its context ends.
var errEnded = errors.New("it ended by itself")

// serve runs the service until ctx ends. From here on all that is said is in the log.
func serve(ctx context.Context, c config.Config, stderr io.Writer) error {
	log := newLogger(c.Log, stderr)
	adopt(log)
	if err := serveWith(ctx, c, log, stderr); err != nil {
		log.Error("rollcall ends because something failed", slog.Any("error", err))
		return errTold
	}
	return nil
}

// serveWith is serve with a log, which captures the rest of what goes to the process' own standard error.
func serveWith(ctx context.Context, c config.Config, log *slog.Logger, stderr io.Writer) error {
	listener, err := net.Listen("tcp", c.HTTP.Addr)
	if err != nil {
		return fmt.Errorf("listen on http.addr: %w", err)
	}
	defer listener.Close()
	p, err := build(ctx, c, log)
	if err != nil {
		return err
	}
	defer p.close()
	if stderr == os.Stderr {
		captured, err := capture(log, p.net)
		if err != nil {
			return err
		}
		os.Stderr = captured
	}
	return p.run(ctx, listener)
}

// build puts the house together: what is called before what calls.
func build(ctx context.Context, c config.Config, log *slog.Logger) (*program, error) {
	if c.Node.ID == "" {
		c.Node.ID = "node-" + id.New()
	}
	proxies, err := peer.ParseProxies(c.HTTP.TrustedProxies)
	if err != nil {
		return nil, fmt.Errorf("read http.trusted_proxies: %w", err)
	}
	p := &program{config: c, log: log, registry: prometheus.NewRegistry(), hall: socket.NewHall(log)}
	// Every name on /metrics begins with rollcall_, those of the runtime too.
	prometheus.WrapRegistererWithPrefix("rollcall_", p.registry).MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	p.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "rollcall_build_info", Help: "Always 1; the labels say which version this is and what the node is called.",
		ConstLabels: prometheus.Labels{"version": version, "node": c.Node.ID}}, func() float64 { return 1 }))
	p.net = rescue.New(log, p.registry)
	if p.db, err = openStore(ctx, c); err != nil {
		return nil, err
	}
	if err := prepare(ctx, c, p.db); err != nil {
		return nil, errors.Join(err, p.db.Close())
	}
	p.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "rollcall_db_transactions_total", Help: "Transactions committed."}, func() float64 { return float64(p.db.Transactions()) }))
	if c.Redis.Addr != "" {
		p.redis = redis.NewClient(&redis.Options{Addr: c.Redis.Addr, Password: c.Redis.Password.Reveal(), DB: c.Redis.DB,
			DialTimeout: c.Redis.Timeout, ReadTimeout: c.Redis.Timeout, WriteTimeout: c.Redis.Timeout, MaxRetries: -1, ContextTimeoutEnabled: true})
	}
	p.health = newHealth(p.db, p.redis, p.draining.Load, p.net, log)
	p.health.register(p.registry)
	if err := errors.Join(p.fitLocks(), p.fitTracer(ctx), p.facts()); err != nil {
		return nil, errors.Join(err, p.db.Close())
	}
	p.rules()
	p.doors(proxies)
	return p, nil
}

func (p *program) fitTracer(ctx context.Context) (err error) {
	if c := p.config; c.Tracing.Endpoint != "" {
		p.tracer, err = tracing.New(ctx, tracing.Config{Endpoint: c.Tracing.Endpoint, Node: c.Node.ID, Version: version, Log: p.log})
	}
	return err
}

// facts builds floor 1. What presence calls upward is given to it as functions.
func (p *program) facts() (err error) {
	c := p.config
	p.presence = presence.New(presence.Config{
		DB: p.db, Node: c.Node.ID, Grace: c.Presence.Grace, Heartbeat: c.Presence.NodeHeartbeat, NodeTimeout: c.Presence.NodeTimeout, Duplicates: c.Conference.DuplicateSessions,
		Retention: c.Attendance.Retention,
		Record:    func(ctx context.Context, changes []presence.Change) error { return p.house.Record(ctx, changes) },
		Changed:   func(changes []presence.Change) { p.house.Changed(changes) },
		Expelled:  p.hall.DropAll,
		Ended:     func(sessionIDs []string) { p.house.Ended(sessionIDs) },
		Net:       p.net, Log: p.log, Metrics: p.registry,
	})
	cc := cluster.Config{
		DB: p.db, Node: c.Node.ID, Hall: p.hall, Alone: p.presence.Alone, Prefix: c.Redis.Prefix, PollInterval: c.Cluster.PollInterval,
		Receive: func(kind string, body json.RawMessage) error { return p.messages.Receive(kind, body) },
		Changed: func(conferenceID string, content bool) { p.house.Woken(conferenceID, content) },
		Missed:  func() { p.house.LookAgain() },
		Net:     p.net, Log: p.log, Metrics: p.registry,
	}
	nc := notice.Config{DB: p.db, Forward: func(ctx context.Context, letters []hall.Letter) error { return p.cluster.Forward(ctx, letters) }, Prefix: c.Redis.Prefix, RedisTimeout: c.Redis.Timeout, Window: c.Presence.Debounce, DetailMax: c.Presence.DetailMax, Retention: c.Notice.Retention, Net: p.net, Log: p.log, Metrics: p.registry}
	if p.redis != nil {
		cc.Redis, nc.Redis = p.redis, p.redis
	}
	p.cluster = cluster.New(cc)
	p.notices = notice.New(nc)
	p.webhooks, err = webhook.New(webhook.Config{DB: p.db, Endpoints: endpoints(c), RetryBase: c.Webhook.RetryBase, Retention: c.Notice.Retention, Net: p.net, Log: p.log, Metrics: p.registry, Tracer: p.tracer})
	if err != nil {
		return fmt.Errorf("read webhooks: %w", err)
	}
	return nil
}

// endpoints are all addresses of the meeting backend that are told of events, the one that it had before us last.
func endpoints(c config.Config) []webhook.Endpoint {
	var list []webhook.Endpoint
	for _, w := range c.Webhooks {
		list = append(list, webhook.Endpoint{URL: w.URL, Secret: w.Secret.Reveal(), Events: w.Events})
	}
	if c.Meeting.EndShareURL != "" {
		list = append(list, webhook.Endpoint{URL: c.Meeting.EndShareURL, Events: []string{"screen_share.ended"}, Plain: true})
	}
	return list
}

// rules builds floor 2.
func (p *program) rules() {
	c := p.config
	p.house = conference.New(conference.Config{
		DB: p.db, Presence: p.presence, Notices: p.notices, Webhooks: p.webhooks, Hall: p.hall, Cluster: p.cluster,
		AutoCreate: c.Conference.AutoCreate, MaxTreeBytes: c.Conference.MaxTreeBytes, PushMinInterval: c.Conference.PushMinInterval,
		PollInterval: c.Cluster.PollInterval, DetailMax: c.Presence.DetailMax, LogTree: c.Notice.LogTree,
		Grace: c.Presence.Grace, Auth: p.locks.tokens != nil, OpenConferences: c.Auth.OpenConferences, MembersURL: c.Meeting.MembersURL, Away: func() bool { return p.health.admits() != nil },
		Net: p.net, Log: p.log, Metrics: p.registry, Tracer: p.tracer,
	})
	p.messages = message.New(message.Config{
		DB: p.db, Presence: p.presence, Notices: p.notices, Webhooks: p.webhooks, Hall: p.hall, Cluster: p.cluster,
		Members: p.house.Members, PushTree: p.house.Push, AckTimeout: c.Notice.AckTimeout,
		Net: p.net, Log: p.log, Metrics: p.registry, Tracer: p.tracer,
	})
	p.explain = explain.New(p.presence, p.notices, c.Presence.Grace)
}

// doors builds floor 3.
func (p *program) doors(proxies peer.Proxies) {
	c := p.config
	origins := peer.Origins(c.HTTP.AllowedOrigins)
	p.door = socket.New(socket.Config{
		Path: c.Socket.Path, PingInterval: c.Socket.PingInterval, PingTimeout: c.Socket.PingTimeout,
		AllowEIO3: c.Socket.AllowEIO3, EIO3PingInterval: c.Socket.EIO3PingInterval, EIO3PingTimeout: c.Socket.EIO3PingTimeout,
		UpgradeTimeout: c.Socket.UpgradeTimeout, ConnectTimeout: c.Socket.ConnectTimeout,
		MaxPayload: c.Socket.MaxPayload, MaxQueueBytes: c.Socket.MaxQueueBytes, EventsPerSecond: c.Socket.EventsPerSecond, MaxSessionsPerUser: c.Socket.MaxSessionsPerUser,
		HandshakesPerSecond: c.Socket.HandshakesPerSecond,
		Tokens:              p.locks.tokens, CheckOnce: c.Auth.Check == "handshake", Leeway: c.Auth.Leeway, CookieName: c.Auth.CookieName, AllowQueryToken: c.Auth.AllowQueryToken,
		NodeID: c.Node.ID, Origins: origins, Proxies: proxies, Ready: p.health.admits,
		Notices: p.notices, Webhooks: p.webhooks, Net: p.net, Log: p.log, Metrics: p.registry, Tracer: p.tracer,
	}, p.hall, p.house, p.messages)
	p.rest = rest.New(rest.Config{
		House: p.house, Presence: p.presence, Notices: p.notices, Messages: p.messages, Webhooks: p.webhooks, Explain: p.explain, DB: p.db, Proxies: proxies, Origins: origins,
		Auth: p.locks.callers(), RequestsPerSecond: c.HTTP.RequestsPerSecond, Pprof: c.Debug.Pprof,
		NodeID: c.Node.ID, Version: fullVersion(), Ready: p.health.check, Gatherer: p.registry, Metrics: p.registry, Net: p.net, Log: p.log, Tracer: p.tracer,
	})
}

// part is something that runs until its context ends.
type part struct {
	name string
	run  func(context.Context) error
}

// parts returns all that runs, from the ground up.
func (p *program) parts() []part {
	return slices.Concat([]part{{"health", p.health.run}}, p.locks.parts(), []part{
		{"notices", p.notices.Run}, {"presence", p.presence.Run}, {"cluster", p.cluster.Run}, {"webhooks", p.webhooks.Run},
		{"conferences", p.house.Run}, {"messages", p.messages.Run}, {"sockets", p.door.Run}, {"rest", p.rest.Run}, {"memory", p.thrift},
	})
}

// run starts everything from the ground up, serves until ctx ends, and takes everything down in reverse order.
func (p *program) run(ctx context.Context, listener net.Listener) error {
	failed := make(chan error, 1)
	var stops []func()
	defer func() {
		for i := len(stops) - 1; i >= 0; i-- {
			stops[i]()
		}
	}()
	for _, part := range p.parts() {
		stops = append(stops, p.start(part, failed))
	}
	for _, ready := range []<-chan struct{}{p.presence.Ready(), p.cluster.Ready()} {
		select {
		case <-ready:
		case err := <-failed:
			return err
		case <-ctx.Done():
			return nil
		}
	}
	server := newServer(&front{next: p.routes(), net: p.net, times: usualTimes, tls: p.config.HTTP.TLSCert != "", local: local(p.config)}, p.log)
	serving := make(chan error, 1)
	p.net.Go("serve http", func() { serving <- p.net.Try("serve http", func() error { return p.listen(server, listener) }) })
	p.greet(listener.Addr())
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	case err = <-serving:
	}
	p.draining.Store(true)
	p.log.Info("stopping", slog.Int("sockets", p.hall.Sockets()), slog.Duration("drain", p.config.Shutdown.Drain))
	p.door.Close(p.config.Shutdown.Drain)
	down, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if e := server.Shutdown(down); e != nil {
		_ = server.Close()
	}
	return err
}

// routes tells the doors apart.
func (p *program) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(p.config.Socket.Path, p.door)
	mux.Handle(p.config.Socket.Path+"socket.io.js", web.Client())
	pages := web.Pages(web.Settings{SocketPath: p.config.Socket.Path, Auth: p.config.Auth.Mode})
	for _, path := range []string{"/{$}", "/room", "/admin", "/assets/"} {
		mux.Handle(path, pages)
	}
	mux.Handle("/", p.rest)
	return mux
}

// start runs a part and returns what stops it and waits for it. A part guards its own work, so that it goes on; a panic
// beside that ends the service, but in order.
func (p *program) start(t part, failed chan<- error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	p.net.Go(t.name, func() {
		defer close(done)
		failure := errEnded // unless run says something else: it may end its goroutine
		defer func() {
			if failure != nil {
				select {
				case failed <- fmt.Errorf("%s: %w", t.name, failure):
				default:
				}
			}
		}()
		if err := p.net.Try("run "+t.name, func() error { return t.run(ctx) }); err != nil || ctx.Err() != nil {
			failure = err
		}
	})
	return func() {
		cancel()
		select {
		case <-done:
		case <-time.After(stopTimeout):
			p.log.Error("a part did not stop in time", slog.String("part", t.name))
		}
	}
}

func (p *program) listen(server *http.Server, listener net.Listener) error {
	var err error
	if c := p.config.HTTP; c.TLSCert != "" {
		err = server.ServeTLS(listener, c.TLSCert, c.TLSKey)
	} else {
		err = server.Serve(listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve http: %w", err)
}

func (p *program) close() {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := p.tracer.Stop(ctx); err != nil {
		p.log.Warn("the last traces were not delivered", slog.Any("error", err))
	}
	if p.redis != nil {
		_ = p.redis.Close()
	}
	if err := p.db.Close(); err != nil {
		p.log.Error("could not close the database", slog.Any("error", err))
	}
}
