package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"rollcall/bench/load"
)

// kind is which of the three a server is.
type kind int

const (
	rollcall kind = iota
	node
	floor
	kinds
)

func (k kind) String() string { return [...]string{"rollcall", "Node", "floor"}[k] }

// server is one of those that are compared.
type server struct {
	*process
	kind     kind
	database string // its name
	bodies   map[string]string
}

// client keeps its connections, as a meeting backend does.
var client = &http.Client{
	Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
	Timeout:   30 * time.Second,
}

// startServer starts one of the three. Settings are keys of rollcall's configuration and values in turns.
func (b *bench) startServer(ctx context.Context, k kind, settings ...string) (*server, error) {
	s := &server{kind: k, bodies: map[string]string{}}
	var err error
	switch k {
	case node:
		s.process, err = start(ctx, b.dir, "node", nil, "node", b.node)
	case floor:
		s.process, err = start(ctx, b.dir, "floor", nil, b.floor)
	default:
		var dsn string
		if s.database, dsn, err = b.services.database(ctx); err != nil {
			return nil, err
		}
		settings = append([]string{
			"http.addr", "127.0.0.1:0", "database.driver", "mysql", "database.dsn", dsn,
			"redis.addr", b.services.redis, "redis.prefix", s.database, "shutdown.drain", "0s",
		}, settings...)
		var env []string
		for i := 0; i < len(settings); i += 2 {
			env = append(env, "ROLLCALL_"+strings.ToUpper(strings.ReplaceAll(settings[i], ".", "_"))+"="+settings[i+1])
		}
		s.process, err = start(ctx, b.dir, "rollcall", env, b.server)
	}
	return s, err
}

// way returns how a user gets into a conference. Nobody has no conference.
func (s *server) way(user, conference string, more ...string) load.Way {
	if s.kind == floor {
		return load.Way{Addr: s.addr, Target: "/ws?room=" + conference}
	}
	query := url.Values{"EIO": {"4"}, "transport": {"websocket"}}
	if conference != "" {
		query.Set("userId", user)
		query.Set("conferenceId", conference)
	}
	for i := 0; i < len(more); i += 2 {
		query.Set(more[i], more[i+1])
	}
	return load.Way{Addr: s.addr, Target: "/socket.io/?" + query.Encode(), Engine: true}
}

// push sends the next version of what was prepared for a conference: of rollcall one key of the tree, of the others, which know no
// trees, all of it.
func (s *server) push(ctx context.Context, conference string, seq int) error {
	if s.kind == rollcall {
		return s.patch(ctx, conference, `{"topicInfo":{"seq":"`+load.Seq(seq)+`"}}`)
	}
	return s.call(ctx, http.MethodPost, "/push?room="+conference, load.WithSeq(s.bodies[conference], seq))
}

func (s *server) patch(ctx context.Context, conference, tree string) error {
	return s.call(ctx, http.MethodPatch, "/api/v1/conferences/"+conference+"/tree", tree)
}

// call sends JSON and wants an answer that is no error.
func (s *server) call(ctx context.Context, method, path, body string) error {
	q, err := http.NewRequestWithContext(ctx, method, s.base+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	q.Header.Set("Content-Type", "application/json")
	a, err := client.Do(q)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err == nil && a.StatusCode >= 300 {
		err = fmt.Errorf("%s answered %s %s with %d: %.200s", s.name, method, path, a.StatusCode, text)
	}
	return err
}

// metric reads a number without labels from rollcall's /metrics.
func (s *server) metric(ctx context.Context, name string) (float64, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	a, err := client.Do(q)
	if err != nil {
		return 0, err
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("/metrics has no %s", name)
}
