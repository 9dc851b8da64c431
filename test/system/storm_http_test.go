package system_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// query is that of a handshake, good or not, as it goes over the wire.
func (v *visit) query(transport string) string {
	if v.chance(70) {
		query, _, _ := v.guest(pick(v.grammar, "4", "4", "3"))
		text := encoded(append(query, "transport", transport)...)
		if v.chance(15) {
			text = v.mutate(text, "&sid="+v.sid())
		}
		return line(text)
	}
	parts := []string{
		"EIO=" + pick(v.grammar, "4", "4", "3", "2", "5", "", "44", "4%20", "4&EIO=3", "-1", "4.0", "%34"),
		"transport=" + pick(v.grammar, transport, transport, "websocket", "polling", "", "jsonp", "webtransport", "polling&transport=websocket", "WebSocket"),
	}
	for range v.IntN(8) {
		key := pick(v.grammar, "userId", "userId", "conferenceId", "conferenceId", "clientType", "deviceId", "is_system", "userName", "tree", "sid", "t", "j", "b64", "token",
			"userId[]", "userId[0]", "__proto__", "user%49d", "x")
		value := pick(v.grammar, v.user(), v.room(), "", "null", "undefined", "0", "%00", "%zz", "%", "a%0d%0aSet-Cookie:x", "%F0%9F%98%80", "%ff%fe", "a+b", "a%2fb", "..",
			"full", "patch", "1", strings.Repeat("q", pick(v.grammar, 64, 65, 4000, 20_000)))
		if key == "sid" {
			value = v.sid()
		}
		parts = append(parts, key+"="+value)
	}
	v.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return strings.Join(parts, pick(v.grammar, "&", "&", "&", "&&", ";"))
}

// line takes out of a text what would end the line that it becomes part of.
func line(text string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f {
			return '+'
		}
		return r
	}, text)
}

// head are lines of a request's head that concern who asks.
func (v *visit) head() string {
	var lines strings.Builder
	for range v.IntN(5) {
		name := pick(v.grammar, "Origin", "Cookie", "Authorization", "X-Forwarded-For", "X-Real-IP", "User-Agent", "Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol",
			"Accept-Encoding", "Referer", "X-API-Key", "Idempotency-Key", "If-Match", "Forwarded")
		value := pick(v.grammar, "", "null", "http://"+v.host, "https://evil.example", "10.0.0.1, 1.2.3.4", "a=b; rollcall=x", "Bearer", "Bearer x", "Basic Og==",
			"permessage-deflate", "gzip", `"1"`, "*", "\x1b[31m", strings.Repeat("h", pick(v.grammar, 10, 8000)))
		if v.token != nil && name == "Authorization" && v.chance(70) {
			value = "Bearer " + v.token(v.user())
		}
		fmt.Fprintf(&lines, "%s: %s\r\n", name, value)
	}
	return lines.String()
}

// handshakes opens many sessions, or tries to, and does nothing with them.
func (v *visit) handshakes() {
	for range 1 + v.IntN(15) {
		transport := pick(v.grammar, "polling", "websocket")
		query := v.query(transport)
		if transport == "polling" {
			v.note("handshake", query)
			if _, text := v.ask("GET", query, ""); sidOf([]byte(text)) != "" {
				v.remember(sidOf([]byte(text)))
			}
			continue
		}
		if v.chance(20) {
			v.interrupted("GET /socket.io/?" + query + " HTTP/1.1\r\nHost: localhost\r\n" + toWebSocket + "\r\n")
			continue
		}
		if l, err := v.dialLink(query, v.head()); err == nil {
			l.end()
		}
	}
}

// stormPaths are asked for besides that of the sockets.
var stormPaths = []string{"/", "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/room", "/admin", "/favicon.ico", "/socket.io", "/socket.io/socket.io.js",
	"//socket.io//", "/socket.io/../metrics", "/%2e%2e/%00",
	"/api/v1/conferences/room1/tree", "/api/v1/conferences/room2/presence", "/api/v1/presence", "/api/v1/notices?limit=1", "/api/v1/users/storm1/inbox",
	"/api/v1/conferences/room1/tree/push", "/api/v1/push", "/api/v1/push/all",
	"/api/v1/notices", "/api/v1/users/storm2/kick", "/api", "/api/v1/nodes", "/api/v1/explain?userId=storm1", "/debug/pprof/cmdline", "*", "http://other.example/healthz",
	"healthz", ""}

// request is an HTTP request of which any part may be wrong.
func (v *visit) request() string {
	path := pick(v.grammar, stormPaths...)
	if v.chance(50) {
		path = "/socket.io/?" + v.query("polling")
	}
	body := pick(v.grammar, "", "40", v.event().text, v.json(2), `{"users":["storm1"],"message":`+v.json(1)+`}`, `{"to":{"users":["storm1"]},"body":`+v.text()+`}`,
		strings.Repeat("b", pick(v.grammar, 1000, 66_000, 270_000)))
	method := pick(v.grammar, "GET", "GET", "GET", "POST", "POST", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "G\x00T", "",
		strings.Repeat("M", 3000))
	if method == "DELETE" || method == "PUT" {
		path = "/socket.io/?" + v.query("polling")
	}
	head := v.head() + pick(v.grammar, "", "Content-Type: application/json\r\n", "Content-Type: text/plain\r\n", "Content-Type: application/octet-stream\r\n",
		"Content-Type: multipart/form-data; boundary=x\r\n", "Content-Type: \xff\r\n")
	head += pick(v.grammar, "", "", "", "Connection: close\r\n", "Connection: keep-alive, Upgrade\r\nUpgrade: h2c\r\n", "Upgrade: websocket\r\n",
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n", "Expect: 100-continue\r\n", "Expect: more\r\n",
		"no colon\r\n", " folded: yes\r\n", "a\x00b: c\r\n", "Host: two\r\n", "Content-Encoding: gzip\r\n", "Huge: "+strings.Repeat("h", pick(v.grammar, 30_000, 60_000))+"\r\n")
	switch v.IntN(8) {
	case 0:
		head += "Transfer-Encoding: " + pick(v.grammar, "chunked", "chunked", "gzip, chunked", "gzip", "chunked, chunked", "identity") + "\r\n"
		body = v.chunked(body)
	case 1:
		head += fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n", len(body))
		body = v.chunked(body)
	case 2:
		head += "Content-Length: " + pick(v.grammar, "-1", "x", "1e3", "0x10", fmt.Sprint(len(body)+1), fmt.Sprint(len(body)/2), "99999999999999999999", "0", "70000",
			"5\r\nContent-Length: 6") + "\r\n"
	case 3:
	default:
		head += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	return method + " " + path + " " + pick(v.grammar, "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "HTTP/1.9", "http/1.1",
		"") + pick(v.grammar, "\r\n", "\r\n", "\r\n", "\n") +
		pick(v.grammar, "Host: localhost\r\n", "Host: localhost\r\n", "Host: localhost\r\n", "", "Host: a b\r\n", "Host: \x00\r\n") + head + "\r\n" + body
}

// chunked is a body in chunks, some of which lie.
func (v *visit) chunked(body string) string {
	var all strings.Builder
	for len(body) > 0 {
		n := min(len(body), 1+v.IntN(20_000))
		size := fmt.Sprintf("%x", n)
		if v.chance(5) {
			size = pick(v.grammar, "", "-1", "ffffffffffffffffff", "g", "0", fmt.Sprintf("%x", n+3), size+";ext="+strings.Repeat("e", 100))
		}
		all.WriteString(size + "\r\n" + body[:n] + "\r\n")
		body = body[n:]
	}
	return all.String() + pick(v.grammar, "0\r\n\r\n", "0\r\n\r\n", "0\r\nTrailer: x\r\n\r\n", "0\r\n", "")
}

// requests sends broken HTTP: several requests at once on one connection, damaged, or cut off at some byte.
func (v *visit) requests() {
	var text strings.Builder
	for range pick(v.grammar, 1, 1, 2, 3, 8) {
		one := v.request()
		v.note("request", one)
		text.WriteString(one)
	}
	all := text.String()
	if v.chance(25) {
		all = v.mutate(all, v.bytes(20))
	}
	if v.chance(30) {
		v.interrupted(all[:v.IntN(len(all)+1)])
		return
	}
	conn, err := net.Dial("tcp", v.host)
	if err != nil {
		v.fail("could not connect: %v", err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second)) // some wait for more, and rightly so
	done := make(chan bool)
	go func() { // the server may answer before it has read everything
		defer close(done)
		_, _ = io.WriteString(conn, all)
	}()
	for r := bufio.NewReader(conn); ; {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			break
		}
		v.answered(resp.StatusCode)
		if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 32<<20)); err != nil || resp.StatusCode == http.StatusSwitchingProtocols {
			break
		}
	}
	_ = conn.Close()
	<-done
}

// interrupted sends the beginning of a request, and goes away in the middle of it.
func (v *visit) interrupted(text string) {
	conn, err := net.Dial("tcp", v.host)
	if err != nil {
		v.fail("could not connect: %v", err)
		return
	}
	v.note("interrupted", text)
	_ = conn.SetWriteDeadline(time.Now().Add(2 * time.Second))
	_, _ = io.WriteString(conn, text)
	if tcp, ok := conn.(*net.TCPConn); ok && v.chance(50) {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
