package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"rollcall/internal/complaint"
	"rollcall/internal/rescue"
)

const (
	maxAnswer = 64 << 10 // bytes
	// A token that was good is not asked about again for so long, and so withdrawn ones still work; one that was not, for so
	// long, so that a client that tries again and again asks less.
	believed = 10 * time.Second
	refused  = 2 * time.Second
	// maxVerdicts is how many answers of either kind are kept.
	maxVerdicts = 10_000
)

// inspector asks an endpoint of RFC 7662 about tokens. Safe for concurrent use.
type inspector struct {
	*remote
	rules  rules
	net    *rescue.Net
	log    *slog.Logger
	rarely complaint.Rarely
	flight singleflight.Group // by hash

	mu sync.Mutex // guards the rest
	// Refusals have a place of their own: whoever makes tokens up cannot have those forgotten that are good.
	good, bad verdicts
}

type hash = [sha256.Size]byte

// verdict is an answer about a token: who it names, or the refusal, and until when that holds.
type verdict struct {
	who   Identity
	err   error
	until time.Time
}

func newInspector(c VerifierConfig, r rules) (*inspector, error) {
	to, err := newRemote(c.IntrospectURL.Reveal())
	if err != nil {
		return nil, fmt.Errorf("the address that is asked about tokens %w", err)
	}
	return &inspector{remote: to, rules: r, net: c.Net, log: c.Log}, nil
}

// identity returns who a token names, says the endpoint. Everybody who comes with the same token meanwhile waits for the
// same answer.
func (i *inspector) identity(ctx context.Context, token string) (Identity, error) {
	key := sha256.Sum256([]byte(token)) // a token in memory for longer than it is needed is one that may leak
	if v, ok := i.known(key); ok {
		return v.who, v.err
	}
	done := i.flight.DoChan(string(key[:]), func() (any, error) {
		var v verdict
		err := i.net.Try("introspect a token", func() (err error) {
			v, err = i.judge(key, token)
			return err
		})
		return v, err
	})
	select {
	case r := <-done:
		v, _ := r.Val.(verdict)
		if r.Err != nil {
			return Identity{}, fmt.Errorf("introspect a token: %w", r.Err)
		}
		return v.who, v.err
	case <-ctx.Done():
		return Identity{}, fmt.Errorf("wait for introspection: %w", context.Cause(ctx))
	}
}

// judge asks about a token and keeps the answer. A refusal is in the verdict; the error is of an endpoint that gave no answer.
func (i *inspector) judge(key hash, token string) (verdict, error) {
	now := time.Now() // before the question: the answer may be as old as that
	said, err := i.ask(token)
	if err != nil {
		if i.rarely.Again("away") {
			i.log.Warn("tokens cannot be checked by introspection", slog.Any("error", err))
		}
		return verdict{}, err
	}
	v := verdict{until: now.Add(refused)}
	if string(said["active"]) != "true" {
		v.err = refusal{outcomeSignature, "the token is unknown or no longer valid"}
	} else if v.who, v.err = i.rules.identity(said, time.Now()); v.err == nil {
		v.until = now.Add(believed)
		if v.who.ExpiresAt.Before(v.until) {
			v.until = v.who.ExpiresAt
		}
	}
	i.keep(key, v)
	return v, nil
}

// ask returns what the endpoint says of a token.
func (i *inspector) ask(token string) (claims, error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, i.url, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, bare(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	text, err := i.do(req, maxAnswer)
	if err != nil {
		return nil, err
	}
	said, err := object(text)
	if err != nil {
		return nil, errors.New("the answer is no JSON object") // what it is may hold the token
	}
	return said, nil
}

// known returns an answer that still holds.
func (i *inspector) known(key hash) (verdict, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if v, ok := i.good.find(key); ok {
		return v, true
	}
	return i.bad.find(key)
}

func (i *inspector) keep(key hash, v verdict) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if v.err != nil {
		i.bad.keep(key, v)
		return
	}
	i.good.keep(key, v)
}

// verdicts are answers by token, kept in the map of this turn and then in that of the one before; what is older is over. Half of
// maxVerdicts end a turn early. The zero value is empty.
type verdicts struct {
	recent, older map[hash]verdict
	turned        time.Time
}

func (l *verdicts) find(key hash) (verdict, bool) {
	v, ok := l.recent[key]
	if !ok {
		v, ok = l.older[key]
	}
	return v, ok && time.Now().Before(v.until)
}

func (l *verdicts) keep(key hash, v verdict) {
	if l.recent == nil || len(l.recent) >= maxVerdicts/2 || time.Since(l.turned) >= believed {
		l.older, l.recent, l.turned = l.recent, map[hash]verdict{}, time.Now()
	}
	l.recent[key] = v
}
