package system_test

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// session is one of long-polling.
type session struct {
	*visit
	query string // with its sid
	eio3  bool
	auth  []string // headers of its requests
}

// begin opens a session as a guest. It returns nil when that was not to be.
func (v *visit) begin() *session {
	eio := pick(v.grammar, "4", "4", "3")
	query, head, auth := v.guest(eio)
	p := &session{visit: v, eio3: eio == "3"}
	if name, value, ok := strings.Cut(strings.TrimSpace(head), ": "); ok {
		p.auth = []string{name, value}
	}
	p.query = encoded(append(query, "transport", "polling")...)
	v.note("handshake", p.query)
	status, text := v.ask("GET", p.query, "", p.auth...)
	sid := sidOf([]byte(text))
	if status != http.StatusOK || sid == "" {
		v.fail("a good handshake was answered %d %.200q", status, text)
		return nil
	}
	p.query = encoded(append(query, "transport", "polling", "sid", sid)...)
	begin := time.Now()
	if !p.eio3 && !p.post(false, packet{kind: "connect", text: "40" + auth}) || !p.await("40") {
		if !v.overtaxed(time.Since(begin)) {
			v.fail("a good session was not let in")
		}
		return nil
	}
	v.remember(sid) // only now: whoever knows the sid may end the session, and that is no fault of the server
	return p
}

// post sends packets in one body and reports whether they were taken.
func (p *session) post(careless bool, list ...packet) bool {
	for _, one := range list {
		p.note(one.kind, one.text)
	}
	kind := "text/plain;charset=UTF-8"
	body := p.payload(p.eio3, careless, list)
	if careless && p.chance(20) {
		kind = pick(p.grammar, "application/octet-stream", "", "application/json", "text/plain; charset=utf-16", "x\x7f")
	}
	if p.eio3 && p.chance(15) && careless {
		kind, body = "application/octet-stream", p.octets(list)
	}
	status, text := p.ask("POST", p.query, body, append([]string{"Content-Type", kind}, p.auth...)...)
	return status == http.StatusOK && text == "ok"
}

// await polls until the answer holds a text. It reports false when the session is over.
func (p *session) await(want string) bool {
	limit := time.Now().Add(patient)
	for time.Now().Before(limit) {
		p.note("poll", "")
		status, text := p.ask("GET", p.query, "", p.auth...)
		switch {
		case strings.Contains(text, want):
			return true
		case status != http.StatusOK, strings.HasSuffix(text, "41"), strings.Contains(text, "44{"):
			return false
		case !p.eio3 && (text == "2" || strings.Contains(text, "\x1e2")):
			p.post(false, packet{kind: "pong", text: "3"})
		}
	}
	p.fail("nothing with %q came within %v", want, patient)
	return false
}

// polls is polite over long-polling.
func (v *visit) polls() {
	p := v.begin()
	if p == nil {
		return
	}
	for round := range 3 + v.IntN(8) {
		var list []packet
		for size := 0; len(list) < 15 && size < 10_000; {
			for _, one := range v.allowed() {
				size += len(one.text)
				list = append(list, one)
			}
		}
		if p.eio3 {
			list = append(list, packet{kind: "ping", text: "2"}) // theirs is the heartbeat
		}
		question := 1<<40 + round
		list = append(list, packet{kind: "event", text: fmt.Sprintf(`42%d["jywsping"]`, question)})
		if !p.post(false, list...) || !p.await(fmt.Sprintf("43%d[", question)) {
			return
		}
	}
	if v.chance(50) {
		p.post(false, packet{kind: "disconnect", text: "41"}, packet{kind: "engine close", text: "1"})
	}
}

// clumsy polls in wrong ways: bodies that are none, two polls at once, polls given up, methods and sids of others.
func (v *visit) clumsy() {
	p := v.begin()
	if p == nil {
		return
	}
	for range 2 + v.IntN(8) {
		list := v.any()
		for range v.IntN(6) {
			list = append(list, v.any()...)
		}
		if v.chance(30) {
			list[0].text = v.mutate(list[0].text, v.event().text)
		}
		switch v.IntN(8) {
		case 0: // two polls at once
			done := make(chan bool)
			go func() { p.ask("GET", p.query, ""); close(done) }()
			p.note("poll", "twice")
			p.ask("GET", p.query, "")
			<-done
		case 1: // two posts at once
			done := make(chan bool)
			body := p.payload(p.eio3, false, list)
			go func() { p.ask("POST", p.query, body); close(done) }()
			p.ask("POST", p.query, body)
			<-done
		case 2:
			p.note("poll", "with a wrong method")
			p.ask(pick(v.grammar, "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"), p.query, "x")
		case 3:
			p.note("poll", "as another")
			p.ask(pick(v.grammar, "GET", "POST"), encoded("EIO", pick(v.grammar, "3", "4"), "transport", pick(v.grammar, "polling", "websocket"), "sid", v.sid()), "40")
		case 4:
			p.note("poll", "given up")
			v.interrupted(fmt.Sprintf("GET /socket.io/?%s HTTP/1.1\r\nHost: localhost\r\n\r\n", p.query))
		default:
			p.post(true, list...)
		}
	}
}

// upgrades changes from polling to WebSocket, in the right order or in any other.
func (v *visit) upgrades() {
	p := v.begin()
	if p == nil {
		return
	}
	right := v.chance(50)
	poll := make(chan bool)
	go func() { p.ask("GET", p.query, "", p.auth...); close(poll) }() // a client polls while it probes
	l, err := v.dialLink(strings.Replace(p.query, "transport=polling", "transport=websocket", 1), strings.Join(p.auth, ": ")+lineEnd(p.auth))
	if err != nil {
		v.fail("an upgrade was refused: %v", err)
		<-poll
		return
	}
	defer l.end()
	if right {
		l.say(packet{kind: "ping", text: "2probe"})
		select {
		case <-l.probed:
			<-poll // the server answers it, or the client could not switch
			l.say(packet{kind: "upgrade", text: "5"})
			v.chat(l)
		case <-l.out:
		case <-time.After(patient):
			v.fail("the probe of an upgrade was not answered")
		}
		return
	}
	defer func() { <-poll }()
	for range 1 + v.IntN(8) {
		one := pick(v.grammar, packet{kind: "ping", text: "2probe"}, packet{kind: "upgrade", text: "5"}, packet{kind: "ping", text: "2"}, packet{kind: "pong", text: "3probe"},
			packet{kind: "noop", text: "6"}, v.event(), v.any()[0])
		if v.chance(20) {
			p.post(true, v.any()...)
		}
		if !l.say(one) {
			return
		}
	}
}

// lineEnd ends the line that headers make, if they do.
func lineEnd(headers []string) string {
	if len(headers) == 0 {
		return ""
	}
	return "\r\n"
}
