package system_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// visit is one stay of a client in a storm. What it does follows from the seed of the storm and its number, but for what the
// server answers.
type visit struct {
	*storm
	*grammar
	number uint64
	name   string

	mu    sync.Mutex // guards trail, to which the link's listener adds
	trail []string   // the newest packets
}

// trailLength is how many packets of a visit are told when something is found.
const trailLength = 25

// note counts a packet that is sent.
func (v *visit) note(kind, text string) {
	v.mu.Lock()
	if len(v.trail) == trailLength {
		v.trail = append(v.trail[:0], v.trail[1:]...)
	}
	v.trail = append(v.trail, kind+": "+text[:min(len(text), 300)])
	v.mu.Unlock()
	v.storm.count(kind)
}

// fail notes what must not be, with what led to it.
func (v *visit) fail(format string, args ...any) {
	v.mu.Lock()
	var told strings.Builder
	for _, line := range v.trail {
		fmt.Fprintf(&told, "\n\t%q", line)
	}
	v.mu.Unlock()
	v.found(fmt.Sprintf("visit %d (%s): ", v.number, v.name) + fmt.Sprintf(format, args...) + told.String())
}

// answered notes an HTTP status. 501 and 505 are what net/http says to a request that is none.
func (v *visit) answered(status int) {
	v.status(status)
	if status >= 500 && status != http.StatusNotImplemented && status != http.StatusHTTPVersionNotSupported {
		v.fail("answered with status %d", status)
	}
}

// guest is who connects in a good way: the query, the lines of the head and the auth payload that let him in.
func (v *visit) guest(eio string) (query []string, head, auth string) {
	user, room := v.user(), v.room()
	if !v.locked && v.chance(5) {
		user = pick(v.grammar, "", "undefined", "null")
	}
	if v.chance(10) {
		room = pick(v.grammar, "", "0", "null")
	}
	query = []string{"EIO", eio, "userId", user, "conferenceId", room, "clientType", pick(v.grammar, "web", "app", "会议"), "tree", pick(v.grammar, "full", "patch")}
	if !v.locked && v.chance(5) {
		query = append(query, "is_system", "1")
	}
	if v.chance(10) {
		query = append(query, "deviceId", "d1", "userName", "\x1b[31m<b>\r\n=1+1", "t", "Pq1x")
	}
	if !v.locked {
		return query, "", ""
	}
	good := v.goodToken(user)
	switch {
	case eio == "3" || v.chance(30):
		head = "Authorization: Bearer " + good + "\r\n"
	case v.chance(30):
		head = "Cookie: a=b; rollcall=" + good + "\r\n"
	default:
		auth = `{"token":"` + good + `"}`
	}
	return query, head, auth
}

// enter connects as a guest over a WebSocket. It returns nil when that was not to be.
func (v *visit) enter(eio string) *link {
	query, head, auth := v.guest(eio)
	l, err := v.dialLink(encoded(append(query, "transport", "websocket")...), head)
	if err != nil {
		v.fail("a good handshake failed: %v", err)
		return nil
	}
	if eio == "4" && !l.say(packet{kind: "connect", text: "40" + auth}) {
		v.fail("a good connection was closed before its CONNECT")
		return nil
	}
	return v.settle(l)
}

// settle waits until a link is in. One that the server cannot let in within the connect timeout is closed, to come back.
func (v *visit) settle(l *link) *link {
	begin := time.Now()
	select {
	case <-l.in:
		return l
	case <-l.out:
		if took := time.Since(begin); !l.sentHome() && !v.overtaxed(took) {
			v.fail("a good CONNECT was answered by closing the connection, after %v", took)
		}
	case <-time.After(patient):
		v.fail("a good CONNECT was not answered")
	}
	_ = l.Close()
	return nil
}

// polite sends events of all kinds and shapes, and everything that is allowed. It must get its answers and stay connected.
func (v *visit) polite() {
	l := v.enter(pick(v.grammar, "4", "4", "3"))
	if l == nil {
		return
	}
	defer l.end()
	v.chat(l)
}

// chat sends what is allowed, until the visit is over.
func (v *visit) chat(l *link) {
	for round := range 4 + v.IntN(20) {
		begin := time.Now()
		for range 1 + v.IntN(15) {
			for _, p := range v.allowed() {
				l.say(p)
			}
		}
		if !l.sync(1<<40 + uint64(round)) {
			if took := time.Since(begin); !l.sentHome() && !v.limited && !v.overtaxed(took) {
				v.fail("a connection of good manners was closed, %v after its last answer", took)
			}
			return
		}
	}
}

// allowed are packets that cost nobody his connection.
func (v *visit) allowed() []packet {
	switch n := v.IntN(100); {
	case n < 6:
		return []packet{{kind: "ack", text: "43" + pick(v.grammar, "0", "1", "77", "18446744073709551615") + pick(v.grammar, "[]", `[{"ok":true}]`, "")}}
	case n < 10:
		head := packet{kind: "binary", text: `451-` + pick(v.grammar, "", "5") + `["` + pick(v.grammar, stormEvents[:len(stormEvents)-1]...) + `",{"_placeholder":true,"num":0}]`}
		return []packet{head, v.attachment()}
	}
	return []packet{v.event()}
}

// wild sends packets of all types in any order, whole and damaged, from the first moment on or when it is in.
func (v *visit) wild() {
	l, err := v.dialLink(v.query("websocket"), v.head())
	if err != nil {
		return
	}
	defer l.end()
	l.mu.Lock()
	l.mute = v.chance(30)
	l.mu.Unlock()
	if v.chance(70) {
		l.say(v.connect())
	}
	if v.chance(60) {
		select {
		case <-l.in:
		case <-l.out:
		case <-time.After(time.Second):
		}
	}
	for range 1 + v.IntN(40) {
		for _, p := range v.any() {
			if v.chance(25) {
				p.kind, p.text = "mutated", v.mutate(p.text, v.event().text)
			}
			if !l.say(p) {
				return
			}
		}
	}
}

// frames breaks the rules of WebSocket itself behind a good beginning.
func (v *visit) frames() {
	l := v.enter(pick(v.grammar, "4", "3"))
	if l == nil {
		return
	}
	defer l.end()
	for range 1 + v.IntN(12) {
		if !l.send("odd frame", v.oddFrame(), "") {
			return
		}
	}
}

// oddFrame is one frame, or a few, with which something is wrong or at least unusual.
func (v *visit) oddFrame() []byte {
	text := v.event().text
	mask := v.Uint32()
	cut := v.IntN(len(text) + 1)
	switch v.IntN(14) {
	case 0: // in fragments
		return append(append(frameOf(mask, 0x01, text[:cut]), frameOf(mask, 0x00, "")...), frameOf(mask, 0x80, text[cut:])...)
	case 1: // a ping in between
		return append(append(frameOf(mask, 0x01, text[:cut]), frameOf(mask, 0x89, "ping")...), frameOf(mask, 0x80, text[cut:])...)
	case 2: // a new message within another
		return append(frameOf(mask, 0x01, text[:cut]), frameOf(mask, 0x81, text)...)
	case 3: // reserved bits
		return frameOf(mask, pick(v.grammar, byte(0xc1), 0xa1, 0x91, 0xf1), text)
	case 4: // reserved kinds
		return frameOf(mask, 0x80|pick(v.grammar, byte(3), 7, 11, 15), text)
	case 5: // no mask
		b := frameOf(0, 0x81, text[:min(len(text), 100)])
		b[1] &= 0x7f
		return b
	case 6: // not as long as it says
		return frameClaiming(mask, 0x81, text, pick(v.grammar, uint64(len(text)+1), 65_537, 1<<31, 1<<40, 1<<63, 1<<64-1))
	case 7: // too large
		return frameOf(mask, pick(v.grammar, byte(0x81), 0x82), "42[\""+strings.Repeat("x", pick(v.grammar, 65_530, 65_536, 70_000, 1_000_000))+"\"]")
	case 8: // closing, with codes that there are not
		return frameOf(mask, 0x88, pick(v.grammar, "", "\x03", "\x00\x00", "\x03\xed", "\x03\xee", "\xff\xff", "\x03\xe8\xff\xfe", "\x03\xe8"+strings.Repeat("x", 130)))
	case 9: // control frames that are too long, or in pieces
		return frameOf(mask, pick(v.grammar, byte(0x89), 0x8a, 0x09), strings.Repeat("p", pick(v.grammar, 0, 125, 126, 1000)))
	case 10: // a piece of nothing
		return frameOf(mask, pick(v.grammar, byte(0x80), 0x00), text)
	case 11: // nothing
		return frameOf(mask, pick(v.grammar, byte(0x81), 0x82, 0x01), "")
	case 12:
		return []byte(v.bytes(1 + v.IntN(40)))
	}
	return frameOf(mask, 0x81, text)
}

// ask sends a request of the Engine.IO kind and returns its answer, "" if none came.
func (v *visit) ask(method, query, body string, headers ...string) (status int, text string) {
	req, err := http.NewRequest(method, "http://"+v.host+"/socket.io/", strings.NewReader(body))
	if err != nil {
		return 0, ""
	}
	req.URL.RawQuery = query
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := v.client.Do(req)
	if err != nil {
		if os.IsTimeout(err) {
			v.fail("%s %.300q was not answered within %v", method, query, patient)
		}
		return 0, ""
	}
	defer resp.Body.Close()
	v.answered(resp.StatusCode)
	all, _ := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	return resp.StatusCode, string(all)
}
