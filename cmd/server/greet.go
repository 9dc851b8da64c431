package main

import (
	"io"
	"log/slog"
	"net"

	"rollcall/internal/config"
)

// newLogger writes to w in the form and from the level that the configuration names.
func newLogger(c config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // the configuration was checked
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// greet says where to go next.
func (p *program) greet(addr net.Addr) {
	scheme := "http://"
	if p.config.HTTP.TLSCert != "" {
		scheme = "https://"
	}
	base := scheme + addr.String()
	redis := "none"
	if p.redis != nil {
		redis = p.config.Redis.Addr
	}
	p.log.Info("rollcall is open", slog.String("version", fullVersion()), slog.String("node", p.config.Node.ID),
		slog.String("sockets", base+p.config.Socket.Path), slog.String("api", base+"/api/v1"), slog.String("docs", base+"/docs"),
		slog.String("ready", base+"/readyz"), slog.String("metrics", base+"/metrics"), slog.String("database", p.db.Dialect()), slog.String("redis", redis))
	if p.config.Auth.Mode == "none" {
		p.log.Warn("auth.mode is none: everybody is believed to be who they say they are")
	}
}

// warnOfUnused names keys that are set for what this version does not do yet.
func (p *program) warnOfUnused() {
	c := p.config
	for key, set := range map[string]bool{
		"tracing.endpoint": c.Tracing.Endpoint != "", "debug.pprof": c.Debug.Pprof, "auth.api_keys": len(c.Auth.APIKeys) > 0,
		"http.requests_per_second": c.HTTP.RequestsPerSecond > 0, "socket.handshakes_per_second": c.Socket.HandshakesPerSecond > 0,
	} {
		if set {
			p.log.Warn("a key is set for something that this version does not do yet", slog.String("key", key))
		}
	}
}
