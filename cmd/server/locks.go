package main

import (
	"fmt"
	"log/slog"
	"slices"

	"rollcall/internal/auth"
	"rollcall/internal/config"
	"rollcall/internal/rest"
)

// locks are what tells people apart. All of it is nil in auth.mode none.
type locks struct {
	keys     *auth.Keys
	sessions *auth.Sessions
	tokens   *auth.Verifier
}

// fitLocks builds what auth.mode asks for.
func (p *program) fitLocks() (err error) {
	c := p.config.Auth
	if c.Mode == "none" {
		return nil
	}
	p.locks.tokens, err = auth.NewVerifier(auth.VerifierConfig{
		HS256Secret: c.HS256Secret, PublicKeyFile: c.PublicKeyFile, JWKSURL: c.JWKSURL, IntrospectURL: c.IntrospectURL,
		Issuer: c.Issuer, Audience: c.Audience, UserClaim: c.UserClaim, Leeway: c.Leeway,
		Net: p.net, Log: p.log, Metrics: p.registry,
	})
	if err != nil {
		return fmt.Errorf("prepare the check of tokens: %w", err)
	}
	p.locks.keys = auth.NewKeys(c.APIKeys)
	p.locks.sessions = auth.NewSessions(auth.SessionsConfig{DB: p.db, Keys: p.locks.keys, Lifetime: p.config.Console.Session, Net: p.net, Log: p.log})
	return nil
}

// callers is what the REST door is given.
func (l locks) callers() *rest.Auth {
	if l.tokens == nil {
		return nil
	}
	return &rest.Auth{Keys: l.keys, Sessions: l.sessions, Tokens: l.tokens}
}

// parts are those of the locks that run.
func (l locks) parts() []part {
	if l.tokens == nil {
		return nil
	}
	return []part{{"tokens", l.tokens.Run}, {"logins", l.sessions.Run}}
}

// sayLocks tells at start-up who is believed, and what an operator may not have meant.
func (p *program) sayLocks() {
	c := p.config.Auth
	if c.Mode == "none" {
		p.log.Warn("auth.mode is none: everybody is believed to be who they say they are")
		return
	}
	p.log.Info("sockets need a token, callers of REST a key", slog.Any("tokens", sourcesOfTokens(c)), slog.Int("api_keys", len(c.APIKeys)), slog.String("check", c.Check))
	if len(c.APIKeys) == 0 {
		p.log.Warn("auth.api_keys is empty: nobody can call REST or read /metrics; \"server keygen\" makes a key")
	}
	if c.AllowQueryToken {
		p.log.Warn("auth.allow_query_token is on: tokens in the URL show up in the logs of proxies")
	}
	if slices.Contains(p.config.HTTP.AllowedOrigins, "*") {
		p.log.Warn("http.allowed_origins has *: pages of any origin may use the tokens that they hold")
	}
}

// sourcesOfTokens names what tokens are checked with, and no secret.
func sourcesOfTokens(c config.Auth) []string {
	var kinds []string
	for _, s := range []struct {
		kind string
		set  bool
	}{
		{"hs256_secret", c.HS256Secret != ""}, {"public_key_file", c.PublicKeyFile != ""}, {"jwks_url", c.JWKSURL != ""}, {"introspect_url", c.IntrospectURL != ""},
	} {
		if s.set {
			kinds = append(kinds, s.kind)
		}
	}
	return kinds
}
