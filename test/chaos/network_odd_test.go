package chaos_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"rollcall/internal/servertest"
	"rollcall/internal/storetest"
)

// opensSession opens a WebSocket and reads OPEN; no CONNECT is sent.
func opensSession(base string, query url.Values) (*websocket.Conn, error) {
	query.Set("EIO", "4")
	query.Set("transport", "websocket")
	d := websocket.Dialer{HandshakeTimeout: 30 * time.Second, ReadBufferSize: 512, WriteBufferSize: 512}
	conn, _, err := d.Dial(strings.Replace(base, "http", "ws", 1)+"/socket.io/?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, _, err := conn.ReadMessage(); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// oddities are packets that come too early, too often, or never from a client of good will.
var oddities = []string{
	"3", "3probe", "2", "2probe", "5", "6", "0", `0{"sid":"x"}`, "1", "7", "", "b4", "bAAAA", "4", "40", "40", "40/admin,", `40{"token":1}`, "41", "42", `42["jywsping"]`, `427["jywsping"]`,
	`42["chat message",{"a":[1e400]}]`, `42["leave"]`, `42["user_login",{"userId":["a"]}]`, `42[]`, `42{}`, `42["connect"]`, "43", `431[{}]`, `43["x"]`, `44{"message":"x"}`,
	`451-["todo",{"_placeholder":true,"num":0}]`, `4599999999999-["x"]`, "46", `421234567890123456789["jywsping"]`, `42["inbox",{"limit":-1}]`, `42["watch",{"conferenceIds":[[]]}]`,
}

// odd returns a packet of that kind, at times with a byte changed, cut off or put in.
func odd() string {
	text := oddities[rand.IntN(len(oddities))]
	if len(text) == 0 || rand.IntN(3) > 0 {
		return text
	}
	at := rand.IntN(len(text))
	return []string{text[:at], text[:at] + string(rune(rand.IntN(256))) + text[at+1:], text[:at] + "[" + text[at:], text + text[at:]}[rand.IntN(4)]
}

// Clients send packets before they may, and such as no client sends, in any order, while others sit in the same rooms.
func TestOddPackets(t *testing.T) {
	beside(t)
	c := begin(t, networkSection, "early PONG, PING, events before CONNECT, odd packets (10^6 from a grammar: TestPacketStorm)")
	town := found(c, 1, func(p *paces) settings {
		return settings{"socket.connect_timeout": "2s"}
	})
	n := town.nodes[0]
	people := town.gathers("p", storetest.Size(100, 20), visit{})
	w := town.watches()
	w.stay(people.keys())
	visits := storetest.Size(10_000, 400)
	var sent, failed atomic.Int64
	parallel(visits, 16, func(i int) {
		conn, err := opensSession(n.base, url.Values{"userId": {fmt.Sprintf("odd-%d", i%50)}, "conferenceId": {fmt.Sprintf("room-%d", i%rooms)}})
		if err != nil {
			failed.Add(1)
			return
		}
		defer conn.Close()
		for range 1 + rand.IntN(8) {
			kind := websocket.TextMessage
			if rand.IntN(8) == 0 {
				kind = websocket.BinaryMessage
			}
			if conn.WriteMessage(kind, []byte(odd())) != nil {
				break
			}
			sent.Add(1)
		}
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		for err == nil {
			_, _, err = conn.ReadMessage()
		}
	})
	crashes := 0
	if n.status("/healthz") != 200 {
		crashes++
	}
	panics := strings.Count(n.log.String(), "panic")
	c.says(int(sent.Load()), "crashes 0, panics 0", fmt.Sprintf("%d, %d", crashes, panics), crashes+panics == 0)
	c.none(visits, int(failed.Load()), "handshakes not answered:")
	wrong, evidence := w.end().wrong()
	c.says(len(people), "others shown offline 0, dropped 0", fmt.Sprintf("%d, %d%s", wrong, len(people)-people.in(), evidence), wrong == 0 && people.in() == len(people))
	town.settles(town.paces.grace + 40*time.Second)
	left := town.waitsFor(30*time.Second, func() bool { return town.sockets() == len(people) })
	c.says(visits, "ghosts 0", fmt.Sprint(town.sockets()-len(people)), left)
}

// Handshakes that are never followed by a CONNECT do not stay.
func TestSilentHandshakes(t *testing.T) {
	beside(t)
	c := begin(t, networkSection, "handshakes that never CONNECT, WebSocket and polling in turn")
	timeout := time.Duration(storetest.Size(10, 2)) * time.Second
	town := found(c, 1, func(*paces) settings { return settings{"socket.connect_timeout": timeout.String()} })
	n, node := storetest.Size(10_000, 300), town.nodes[0]
	descriptors := node.metric("rollcall_process_open_fds")
	var (
		mu           sync.Mutex // guards what follows
		closed, late int        // WebSockets
		over, failed int        // sessions of polling; handshakes
		longest      time.Duration
		waiting      sync.WaitGroup
	)
	parallel(n, 64, func(i int) {
		if i%2 == 1 {
			answer, err := servertest.Call(town.ctx, "GET", node.base+"/socket.io/?EIO=4&transport=polling", nil)
			if err == nil && answer.Status == 200 {
				sid, _, _ := strings.Cut(strings.TrimPrefix(string(answer.Body), `0{"sid":"`), `"`)
				waiting.Go(func() {
					town.waits(timeout + 3*time.Second)
					again, err := servertest.Call(town.ctx, "GET", node.base+"/socket.io/?EIO=4&transport=polling&sid="+sid, nil)
					mu.Lock()
					defer mu.Unlock()
					if err == nil && (again.Status == 400 || string(again.Body) == "1") {
						over++
					}
				})
				return
			}
		} else if conn, err := opensSession(node.base, url.Values{}); err == nil {
			opened := time.Now()
			waiting.Go(func() {
				defer conn.Close()
				_ = conn.SetReadDeadline(opened.Add(timeout + 20*time.Second))
				var err error
				for err == nil {
					_, _, err = conn.ReadMessage()
				}
				mu.Lock()
				defer mu.Unlock()
				took := time.Since(opened)
				if longest = max(longest, took); took > timeout+3*time.Second {
					late++
				}
				if took < timeout+19*time.Second {
					closed++
				}
			})
			return
		}
		mu.Lock()
		defer mu.Unlock()
		failed++
	})
	waiting.Wait()
	c.says(n, "all were let to begin and closed", fmt.Sprintf("%d WebSockets, %d of polling, %d failed", closed, over, failed), closed+over == n)
	c.says(n/2, fmt.Sprintf("WebSockets closed later than after %v 0", timeout+3*time.Second), fmt.Sprintf("%d, the last after %v", late, longest.Round(100*time.Millisecond)), late == 0)
	free := town.waitsFor(30*time.Second, func() bool { return node.metric("rollcall_process_open_fds") <= descriptors+20 })
	c.says(n, "descriptors left 0 (20 breathe)", fmt.Sprintf("%+.0f", node.metric("rollcall_process_open_fds")-descriptors), free)
}

// A hidden tab's timers fire once a minute, and a 2.x client drives its heartbeat from one. The short form has a tenth of that, and
// of the configured times.
func TestHiddenTab(t *testing.T) {
	idles(t)
	c := begin(t, networkSection, "hidden browser tab with a 2.x client, its timer once a minute")
	pause, with := 6*time.Second, settings{"socket.eio3_ping_interval": "2500ms", "socket.eio3_ping_timeout": "6s"}
	if storetest.Proving() {
		pause, with = time.Minute, nil
	}
	town := found(c, 1, func(*paces) settings { return with })
	tabs := town.gathers("tab", storetest.Size(100, 20), visit{query: [][2]string{{"EIO", "3"}}})
	w := town.watches()
	w.stay(tabs.keys())
	for range 3 {
		town.pause(pause)
		for _, p := range tabs {
			p.beats()
		}
	}
	town.pause(time.Second)
	wrong, evidence := w.end().wrong()
	c.says(len(tabs), fmt.Sprintf("drops in %v 0, shown offline 0", 3*pause), fmt.Sprintf("%d, %d%s", len(tabs)-tabs.in(), wrong, evidence), wrong == 0 && tabs.in() == len(tabs))
}

// beats sends the heartbeat that is a 2.x client's own.
func (p *person) beats() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.link != nil {
		p.link.Send("2")
	}
}
