package chaos_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"rollcall/internal/storetest"
)

// link is a TCP address that leads to a server, on which things can be done to what passes: one for each pair of who calls and
// who is called, so that a node can be cut off alone.
type link struct {
	t      *testing.T
	proxy  *toxiproxy.Proxy
	toxics []string // names of those on it
	lost   int      // COMMITs whose answer was lost here, up to the last mend
}

// newLink returns a link to host:port target, which ends with t.
func newLink(t *testing.T, name, target string) *link {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.New(io.Discard))
	l := &link{t: t, proxy: toxiproxy.NewProxy(server, name, "127.0.0.1:0", target)}
	if err := l.proxy.Start(); err != nil {
		t.Fatalf("open a link to %s: %v", name, err)
	}
	t.Cleanup(l.proxy.Stop)
	return l
}

// addr returns host:port where the link begins. It stays the same when the link is refused and mended.
func (l *link) addr() string { return l.proxy.Listen }

// refuse breaks every connection and refuses new ones, as a server that was killed does.
func (l *link) refuse() { l.proxy.Stop() }

// swallow takes connections and lets nothing through, in no direction: a black hole.
func (l *link) swallow() {
	l.poison("timeout", "upstream", `{"timeout":0}`)
	l.poison("timeout", "downstream", `{"timeout":0}`)
}

// poison puts a toxic of toxiproxy (latency, slicer, limit_data, ...) on one direction: "upstream" is to the server.
func (l *link) poison(kind, stream, attributes string) {
	l.t.Helper()
	name := kind + "_" + stream
	text := fmt.Sprintf(`{"name":%q,"type":%q,"stream":%q,"attributes":%s}`, name, kind, stream, attributes)
	if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
		l.t.Fatalf("put %s on a link: %v", name, err)
	}
	l.toxics = append(l.toxics, name)
}

// mend makes the link as good as new. What was swallowed is lost: those connections end.
func (l *link) mend() {
	l.t.Helper()
	for _, name := range l.toxics {
		if toxic, ok := l.proxy.Toxics.GetToxic(name).Toxic.(*lostCommit); ok {
			l.lost += int(toxic.seen.Load() / 3)
		}
		if err := l.proxy.Toxics.RemoveToxic(l.t.Context(), name); err != nil {
			l.t.Fatalf("take %s off a link: %v", name, err)
		}
	}
	l.toxics = nil
	if !l.proxy.Enabled {
		if err := l.proxy.Start(); err != nil {
			l.t.Fatalf("mend a link: %v", err)
		}
	}
}

// A link does what its name says, and is as good as new when it was mended.
func TestLink(t *testing.T) {
	l := newLink(t, "redis", storetest.RedisAddr(t))
	ping := func() error {
		r := redis.NewClient(&redis.Options{Addr: l.addr(), MaxRetries: -1, ReadTimeout: 200 * time.Millisecond, DialTimeout: 200 * time.Millisecond})
		defer r.Close()
		return r.Ping(t.Context()).Err()
	}
	mended := func(after string) {
		t.Helper()
		l.mend()
		if err := ping(); err != nil {
			t.Errorf("mended after %s: %v", after, err)
		}
	}
	mended("nothing")
	l.refuse()
	if err := ping(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("refused: %v", err)
	}
	mended("refusing")
	l.swallow()
	if err := ping(); !os.IsTimeout(err) {
		t.Errorf("swallowed: %v", err)
	}
	mended("swallowing")
}
