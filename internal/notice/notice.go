// Package notice keeps what was said to whom: the announcements of who came and went, held back by debounce but true
// in the end, and the log of everything sent.
package notice

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/redis/go-redis/v9"

	"rollcall/internal/hall"
	"rollcall/internal/rescue"
	"rollcall/internal/store"
)

// Config is what Notices need.
type Config struct {
	DB           *store.DB
	Redis        redis.UniversalClient // made with ContextTimeoutEnabled; nil: debounce in memory only
	Prefix       string                // first part of every key in Redis
	RedisTimeout time.Duration         // bound of one call of Redis
	Window       time.Duration         // each kind of announcement about a user in a conference is made at most once in it
	DetailMax    int                   // people online above which a conference gets no announcements
	Retention    time.Duration         // how long the log is kept; 0: for ever
	// Forward posts the letters of a Posting in the transaction that stores it. Needed only by those that have letters.
	Forward func(ctx context.Context, letters []hall.Letter) error
	Net     *rescue.Net // catches panics of the background; nil: one of its own
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: not exported
}

// Notices announce and keep the log. Safe for concurrent use.
type Notices struct {
	db        *store.DB
	standings standings
	keys      *keys
	detailMax int
	retention time.Duration
	firstTrim time.Duration // how long after the start the log is trimmed
	bounds    bounds        // of a page of the log
	later     *writer
	poster    *poster
	now       func() int64 // milliseconds since 1970
	metrics   metrics
	net       *rescue.Net
}

type metrics struct {
	announcements *prometheus.CounterVec
	dropped       prometheus.Counter
}

// New returns Notices. AppendLater and Post need Run; everything else works without.
func New(c Config) *Notices {
	reg := promauto.With(c.Metrics)
	if c.Net == nil {
		c.Net = rescue.New(c.Log, nil)
	}
	m := metrics{
		announcements: reg.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_announcements_total", Help: "Announcements of who came and went, by event and by what became of them."}, []string{"event", "state"}),
		dropped:       reg.NewCounter(prometheus.CounterOpts{Name: "rollcall_notice_dropped_total", Help: "Log rows of the service itself that were not written."}),
	}
	n := &Notices{
		db:        c.DB,
		standings: table{c.DB},
		keys: &keys{
			redis: c.Redis, prefix: c.Prefix, window: c.Window, timeout: c.RedisTimeout, log: c.Log, ends: map[string]time.Time{},
			failed: reg.NewCounter(prometheus.CounterOpts{Name: "rollcall_debounce_redis_failures_total", Help: "Calls of Redis that failed, after which debounce used memory."}),
		},
		detailMax: c.DetailMax,
		retention: c.Retention,
		firstTrim: trimFirst,
		bounds:    bounds{lookDepth, searchDepth, searchStride, searchTime},
		metrics:   m,
		net:       c.Net,
		poster:    newPoster(c),
		now:       func() int64 { return time.Now().UnixMilli() },
	}
	n.later = newWriter(n.Append, m.dropped, c.Net, c.Log)
	return n
}
