package auth

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"rollcall/internal/complaint"
	"rollcall/internal/rescue"
)

// maxSet is the most bytes of a set of keys.
const maxSet = 1 << 20

// tempo is how often the issuer is asked for its keys.
type tempo struct {
	refresh time.Duration // so that a key that was withdrawn stops working
	fresh   time.Duration // a set as young as this is not fetched again for the sake of a key that is not in it
	retry   time.Duration // after it was away
}

var usualTempo = tempo{refresh: 5 * time.Minute, fresh: 3 * time.Second, retry: time.Second}

// issuer keeps the keys at a URL. They are kept while it is away. Safe for concurrent use.
type issuer struct {
	*remote
	tempo  tempo
	net    *rescue.Net
	log    *slog.Logger
	rarely complaint.Rarely
	once   complaint.Once
	flight singleflight.Group

	mu      sync.Mutex // guards the rest
	keys    []trusted
	fetched time.Time // when keys were; zero: never
	failed  error     // of the last fetch
	tried   time.Time
}

func newIssuer(c VerifierConfig) (*issuer, error) {
	r, err := newRemote(c.JWKSURL)
	if err != nil {
		return nil, fmt.Errorf("the address of the keys of tokens %w", err)
	}
	return &issuer{remote: r, tempo: usualTempo, net: c.Net, log: c.Log}, nil
}

// run fetches the keys at once and then now and then, until ctx ends.
func (i *issuer) run(ctx context.Context) {
	defer i.client.CloseIdleConnections()
	for {
		wait := i.tempo.refresh
		if i.renew(ctx, 0) != nil {
			wait = min(wait, 5*i.tempo.retry)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// signed returns nil if one of the issuer's keys signed t. A key that is not known may be a new one, so the issuer is asked,
// but not more often than tempo says, whatever strangers send. A signature that is wrong for a known key asks nobody.
func (i *issuer) signed(ctx context.Context, t jws) error {
	named, ok := i.holds(t)
	if ok {
		return nil
	}
	if named {
		return unknownKey
	}
	if err := i.renew(ctx, i.tempo.fresh); err != nil {
		return err
	}
	if _, ok = i.holds(t); ok {
		return nil
	}
	return unknownKey
}

// holds reports whether one of the keys at hand signed t, and whether t names one of them. A token that names none is taken
// if there is no doubt which key is meant.
func (i *issuer) holds(t jws) (named, signed bool) {
	i.mu.Lock()
	keys := i.keys // never changed, only replaced
	i.mu.Unlock()
	var meant []trusted
	for _, k := range keys {
		if t.kid != "" && k.kid != t.kid {
			continue
		}
		named = named || t.kid != ""
		if k.fits(t.alg) {
			meant = append(meant, k)
		}
	}
	if t.kid == "" && len(meant) != 1 {
		return false, false
	}
	for _, k := range meant {
		if t.signedBy(k.key) {
			return named, true
		}
	}
	return named, false
}

// renew fetches the keys unless those at hand are younger than so long. Everybody who asks meanwhile waits for the same fetch.
func (i *issuer) renew(ctx context.Context, young time.Duration) error {
	done := i.flight.DoChan("", func() (any, error) {
		return nil, i.net.Try("fetch the keys of tokens", func() error { return i.fetch(young) })
	})
	select {
	case r := <-done:
		return r.Err
	case <-ctx.Done():
		return fmt.Errorf("wait for the keys of tokens: %w", context.Cause(ctx))
	}
}

// fetch does what renew says. Only one runs at a time; it is bounded by itself, because many may wait for it.
func (i *issuer) fetch(young time.Duration) error {
	i.mu.Lock()
	fetched, tried, failed := i.fetched, i.tried, i.failed
	i.mu.Unlock()
	switch {
	case failed == nil && time.Since(fetched) < young:
		return nil
	case failed != nil && time.Since(tried) < min(young, i.tempo.retry):
		return failed
	}
	var keys []trusted
	text, err := i.get(context.Background(), maxSet)
	if err == nil {
		var skipped error
		keys, skipped, err = parseSet(text)
		if i.once.Begins("skip a key", skipped != nil) { // most sets hold such a key for good
			i.log.Info("a key of the issuer of tokens is not used", slog.Any("reason", skipped))
		}
	}
	if err != nil {
		err = fmt.Errorf("fetch the keys of tokens: %w", err)
	}
	i.settle(keys, err)
	return err
}

// settle keeps what a fetch brought.
func (i *issuer) settle(keys []trusted, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.tried, i.failed = time.Now(), err
	switch {
	case err == nil:
		i.keys, i.fetched = keys, i.tried
		if len(keys) == 0 && i.rarely.Again("none") {
			i.log.Warn("the issuer has no key that can check tokens: nobody gets in by one of its")
		}
	case i.rarely.Again("away"):
		i.log.Warn("the keys of tokens cannot be fetched, those at hand are used", slog.Int("keys", len(i.keys)), slog.Any("error", err))
	}
}
