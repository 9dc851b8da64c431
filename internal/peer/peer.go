// Package peer tells who is on the other end of a request: its address, also behind proxies that are trusted, and
// whether its page may talk to us.
package peer

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the addresses of reverse proxies whose X-Forwarded-For is believed.
type Proxies []netip.Prefix

// ParseProxies reads addresses and prefixes such as 10.0.0.1 or 10.0.0.0/8.
func ParseProxies(list []string) (Proxies, error) {
	var out Proxies
	for _, s := range list {
		if a, err := netip.ParseAddr(s); err == nil {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address nor a prefix: %w", s, err)
		}
		out = append(out, p)
	}
	return out, nil
}

func (p Proxies) trust(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(known netip.Prefix) bool { return known.Contains(a.Unmap()) })
}

// Address returns the address of whoever sent r: that of the TCP peer, or, if the peer is a trusted proxy, the last
// address in X-Forwarded-For that is not one. It is "" only for a peer without an IP address.
func (p Proxies) Address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return ""
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && p.trust(addr); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break // nonsense ends what can be believed
		}
		addr = next
	}
	return addr.Unmap().WithZone("").String()
}

// Secure reports whether the client came by TLS: to us, or to a trusted proxy that says so in X-Forwarded-Proto.
func (p Proxies) Secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	near, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !p.trust(near.Addr()) {
		return false
	}
	scheme, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",") // each proxy adds behind what the one before it said
	return strings.EqualFold(strings.TrimSpace(scheme), "https")
}

// Own reports whether r comes from a page of ours, or from no page at all. It is asked before a cookie counts: browsers send
// cookies whoever makes them do so, but they say who that is.
func Own(r *http.Request) bool {
	origin, given, ok := originOf(r)
	return ok && near(r) && (!given || own(origin, r))
}

// near reports whether r is not said to be caused by a page of another site. Browsers say so also where they send no Origin:
// with what a page shows or follows, such as an image or a link.
func near(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none": // none: somebody typed the address
		return true
	}
	return false
}

// originOf returns what r says about the page that it comes from. ok is false if it says more than one thing: which of them a
// proxy in front of us believed, nobody knows.
func originOf(r *http.Request) (origin string, given, ok bool) {
	switch v := r.Header.Values("Origin"); len(v) {
	case 0:
		return "", false, true
	case 1:
		return v[0], true, true
	}
	return "", true, false
}

// own reports whether an origin is the one that r was sent to, written as browsers write it. Behind a proxy that ends TLS we
// do not know our own scheme, so either will do; when we end TLS ourselves only https is ours.
func own(origin string, r *http.Request) bool {
	scheme, host, ok := strings.Cut(origin, "://")
	return ok && (scheme == "https" || scheme == "http" && r.TLS == nil) && host != "" && strings.EqualFold(host, r.Host)
}

// Origins are the pages, besides our own, whose scripts may talk to us. "*" allows all.
type Origins []string

// Allow reports whether the page that sent r may: it has no Origin and is no page of another site, it is our own, or it is
// listed. A blank Origin is no page's. Two of them are refused whatever is listed.
func (o Origins) Allow(r *http.Request) bool {
	origin, given, ok := originOf(r)
	switch {
	case !ok:
		return false
	case slices.Contains(o, "*"):
		return true
	case !given: // which page it is, and so whether it is listed, is not said
		return near(r)
	}
	return slices.Contains(o, origin) || own(origin, r)
}

// Answer sets the headers that let the page that sent r read the answer. It expects that Allow holds.
func (o Origins) Answer(w http.ResponseWriter, r *http.Request) {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-API-Key")
		h.Set("Access-Control-Max-Age", "600")
	}
}
