package main

import (
	"log/slog"
	"net"
)

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
		slog.String("room", base+"/room"), slog.String("admin", base+"/admin"), slog.String("sockets", base+p.config.Socket.Path), slog.String("api", base+"/api/v1"), slog.String("docs", base+"/docs"),
		slog.String("ready", base+"/readyz"), slog.String("metrics", base+"/metrics"), slog.String("database", p.db.Dialect()), slog.String("redis", redis))
	p.sayLocks()
}
