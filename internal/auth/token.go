package auth

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rollcall/internal/config"
	"rollcall/internal/fault"
	"rollcall/internal/rescue"
)

// maxToken is the most bytes a token may have: what header lines of common servers hold.
const maxToken = 8 << 10

// Identity is what a valid token says.
type Identity struct {
	UserID      string
	Name        string // "" if it says none
	Role        string // host, member or observer; "" if it says none of them
	System      bool   // its bearer may be a system client
	Conferences Conferences
	ExpiresAt   time.Time
}

// Conferences are those that a token lets its bearer into. IDs may be shared and must not be changed.
type Conferences struct {
	Said bool // false: the token does not say; the members list decides
	All  bool
	IDs  []string
}

// Hold reports whether a conference is among them. It is for tokens that say.
func (c Conferences) Hold(conferenceID string) bool {
	return c.All || slices.Contains(c.IDs, conferenceID)
}

// VerifierConfig is what a Verifier needs; the names are those of the program's configuration. At least one of
// HS256Secret, PublicKeyFile, JWKSURL and IntrospectURL is set.
type VerifierConfig struct {
	HS256Secret   config.Secret
	PublicKeyFile string
	JWKSURL       string
	IntrospectURL config.Secret // may hold user and password
	Issuer        string        // "" accepts any
	Audience      string        // "" accepts any
	UserClaim     string        // "" is sub
	Leeway        time.Duration

	Net     *rescue.Net
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Verifier tells who a token names. Safe for concurrent use.
type Verifier struct {
	rules     rules
	own       []any      // the keys that the configuration names: the secret and what is in the key file
	issuer    *issuer    // nil without JWKSURL
	inspector *inspector // nil without IntrospectURL
	local     []string   // the algorithms of own and issuer
	outcomes  *prometheus.CounterVec
}

// NewVerifier returns a Verifier. It reads the key file and calls nobody.
func NewVerifier(c VerifierConfig) (*Verifier, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Net == nil {
		c.Net = rescue.New(c.Log, nil)
	}
	v := &Verifier{
		rules:    newRules(c),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_tokens_total", Help: "Tokens that were checked, by what came of it."}, []string{"outcome"}),
	}
	if c.HS256Secret != "" {
		v.own = append(v.own, []byte(c.HS256Secret.Reveal()))
	}
	if c.PublicKeyFile != "" {
		key, err := readKey(c.PublicKeyFile)
		if err != nil {
			return nil, err
		}
		v.own = append(v.own, key)
	}
	for _, key := range v.own {
		v.local = append(v.local, algorithms(key)...)
	}
	if c.JWKSURL != "" {
		var err error
		if v.issuer, err = newIssuer(c); err != nil {
			return nil, err
		}
		v.local = append(v.local, asymmetric...)
	}
	if c.IntrospectURL != "" {
		var err error
		if v.inspector, err = newInspector(c, v.rules); err != nil {
			return nil, err
		}
	}
	if len(v.local) == 0 && v.inspector == nil {
		return nil, errors.New("there is nothing to check tokens with")
	}
	for _, o := range outcomes {
		v.outcomes.WithLabelValues(o)
	}
	if c.Metrics != nil {
		c.Metrics.MustRegister(v.outcomes)
	}
	return v, nil
}

// Run keeps the keys of JWKSURL fresh until ctx ends, and returns nil.
func (v *Verifier) Run(ctx context.Context) error {
	if v.issuer != nil {
		v.issuer.run(ctx)
	}
	<-ctx.Done()
	if v.inspector != nil {
		v.inspector.client.CloseIdleConnections()
	}
	return nil
}

// What can come of a token, as the counter calls it.
const (
	outcomeOK          = "ok"
	outcomeExpired     = "expired"
	outcomeMalformed   = "malformed"
	outcomeSignature   = "signature"
	outcomeClaims      = "claims"
	outcomeUnavailable = "unavailable"
)

var outcomes = []string{outcomeOK, outcomeExpired, outcomeMalformed, outcomeSignature, outcomeClaims, outcomeUnavailable}

// refusal is the error of a token that proves nothing. why is told to whoever sent it, so it repeats nothing of it.
type refusal struct{ outcome, why string }

func (r refusal) Error() string { return r.why }

// Verify returns who a token names. A token that proves nothing is an Unauthorized fault, whose message says why without
// repeating any of it; when whoever has to be asked does not answer, the fault is Unavailable.
func (v *Verifier) Verify(ctx context.Context, token string) (Identity, error) {
	identity, err := v.verify(ctx, token)
	outcome := outcomeOK
	if r, ok := errors.AsType[refusal](err); ok {
		outcome, err = r.outcome, unauthorized(r.why)
	} else if err != nil {
		outcome, err = outcomeUnavailable, fault.Away(err)
	}
	v.outcomes.WithLabelValues(outcome).Inc()
	return identity, err
}

// verify lets the keys at hand decide about what is signed in a way that they can check, and asks about everything else.
func (v *Verifier) verify(ctx context.Context, token string) (Identity, error) {
	switch {
	case token == "":
		return Identity{}, refusal{outcomeMalformed, "a token is needed"}
	case strings.HasPrefix(token, keyPrefix): // mistyped perhaps, so near a key that works: nobody outside is to see it
		return Identity{}, refusal{outcomeMalformed, "this API key is not known"}
	case len(token) > maxToken:
		return Identity{}, refusal{outcomeMalformed, "the token is too long"}
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return Identity{}, malformed
	}
	t, err := parse(token)
	ours := err == nil && slices.Contains(v.local, t.alg)
	switch {
	case !ours && v.inspector != nil:
		return v.inspector.identity(ctx, token)
	case err != nil:
		return Identity{}, err
	case !ours:
		return Identity{}, unknownKey
	}
	if err := t.check(); err != nil {
		return Identity{}, err
	}
	if err := v.signed(ctx, t); err != nil {
		return Identity{}, err
	}
	said, err := object(t.payload)
	if err != nil {
		return Identity{}, malformed
	}
	return v.rules.identity(said, time.Now())
}

// signed returns nil if one of the trusted keys signed t.
func (v *Verifier) signed(ctx context.Context, t jws) error {
	for _, key := range v.own {
		if t.signedBy(key) {
			return nil
		}
	}
	if v.issuer != nil && slices.Contains(asymmetric, t.alg) {
		return v.issuer.signed(ctx, t)
	}
	return unknownKey
}
