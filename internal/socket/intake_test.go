package socket

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"rollcall/internal/fault"
	"rollcall/internal/hall"
	"rollcall/internal/peer"
	"rollcall/internal/rawjson"
	"rollcall/internal/storetest"
)

// The first bytes of a packet say whether it is an event, which, and where an answer to it goes, as decoding it would.
func TestReadHead(t *testing.T) {
	for packet, want := range map[string]head{
		`42["roster",{"limit":1}]`: {event: true, name: "roster"}, `4217["roster"]`: {event: true, ack: 17, asked: true, name: "roster"},
		`4218446744073709551615["chat message","x"]`: {event: true, ack: 18446744073709551615, asked: true, name: "chat message"},
		`42999999999999999999999["roster"]`:          {event: true, name: "roster"}, `42` + strings.Repeat("9", 30) + `["roster"]`: {event: true, name: otherEvent},
		`451-7["todo",{"_placeholder":true,"num":0}]`: {event: true, ack: 7, asked: true, name: "todo"},
		`42["no_such_event"]`:                         {event: true, name: otherEvent}, `42/x,7["roster"]`: {event: true, name: otherEvent}, "42": {event: true, name: otherEvent},
		"45": {event: true, name: otherEvent}, `42["ros`: {event: true, name: otherEvent},
		"": {name: otherEvent}, "4": {name: otherEvent}, "40": {name: otherEvent}, "431[]": {name: otherEvent, answer: true}, "461-[]": {name: otherEvent, answer: true}, "2": {name: otherEvent}, "3probe": {name: otherEvent}, "bAAAA": {name: otherEvent},
	} {
		if got := readHead([]byte(packet)); got != want {
			t.Errorf("%s: %+v, want %+v", packet, got, want)
		}
	}
	text, err := rawjson.Encode(body(nil, fault.New(fault.RateLimited, "rate_limited", "too many events")))
	if err != nil || string(text) != tooMany {
		t.Errorf("what is too much is answered %s, otherwise it is %s", tooMany, text)
	}
}

// quiet is who drains an outbox that nobody reads.
type quiet struct{}

func (quiet) ready()    {}
func (quiet) overflow() {}

// Packets that are no events have a limit of their own, for which acknowledgements that we asked for do not count; beyond it
// they are not read, and after five seconds of that the connection ends.
func TestOthersHaveALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rejected := 0
		in := newIntake(20, newOutbox(1<<20, quiet{}), func(string) { rejected++ })
		for range 10_000 {
			in.owe()
		}
		for i := range maxAsked { // we know no more; once they were counted without end, and whoever answered none had as many packets free
			if ok, _ := in.take([]byte("431[]")); !ok {
				t.Fatalf("acknowledgement %d of those that we asked for is too much", i)
			}
		}
		began := time.Now()
		passed := 0
		for flood := false; !flood; {
			var ok bool
			if ok, flood = in.take([]byte("431[]")); ok { // which nobody asked for
				passed++
			}
			if !flood {
				time.Sleep(100 * time.Microsecond) // 10,000 a second
			}
		}
		if took := time.Since(began); took < floodAfter || took > floodAfter+time.Second {
			t.Errorf("the flood ended after %v", took)
		}
		if most := 6*20*othersPerEvent + 2*20*othersPerEvent; passed > most {
			t.Errorf("%d packets passed, at most %d should", passed, most)
		}
		if ok, _ := in.take([]byte(`421["jywsping"]`)); !ok || rejected != 0 {
			t.Errorf("an event: %v, rejected %d", ok, rejected)
		}
	})
}

// One socket that sends 10,000 events a second is answered, costs no memory that grows, and nobody else notices; when it
// goes on it is closed. The short run stops before that.
func TestOneSocketSendsTooMuch(t *testing.T) {
	o := open(t, nil)
	o.enter(t, "EIO=4&userId=ben&conferenceId=42")
	loud, calm := o.enter(t, "EIO=4&userId=anna&conferenceId=42"), o.enter(t, "EIO=4&userId=carl&conferenceId=42")
	go func() {
		for {
			if _, _, err := loud.conn.ReadMessage(); err != nil {
				return
			}
		}
	}()
	event := []byte(`421["chat message","` + strings.Repeat("x", 1000) + `"]`)
	events := storetest.Size(100_000, 4000)
	var before, after runtime.MemStats
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	sent := 0
	for ; sent < events; sent++ {
		if sent%10 == 0 {
			<-tick.C
		}
		if sent == events/2 {
			runtime.GC()
			runtime.ReadMemStats(&before)
		}
		if sent%1000 == 0 {
			if a := calm.ask("jywsping"); !a.OK {
				t.Errorf("somebody else was answered %s", a.text)
			}
		}
		if err := loud.conn.WriteMessage(websocket.TextMessage, event); err != nil {
			break
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	grown := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	if before.HeapAlloc > 0 && grown > 4<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	rejected := o.counted(t, "rollcall_client_events_total", "chat message", "rate_limited")
	if rejected < float64(sent)*0.8 {
		t.Errorf("%v of %d events were too many", rejected, sent)
	}
	if storetest.Proving() {
		storetest.Eventually(t, func() bool { return o.hall.Sockets() == 2 }, "a client that floods keeps its connection")
	}
	storetest.Show(t, "%d events from one socket at up to 10,000 a second: %.0f turned away, heap grown by %d KB in the second half", sent, rejected, grown>>10)
}

// BenchmarkRejectedEvent is what an event costs that is too much, whatever is in it, with the answer to it.
func BenchmarkRejectedEvent(b *testing.B) {
	box := newOutbox(1<<40, quiet{})
	in := newIntake(1, box, func(string) {})
	event := []byte(`42123["chat message","` + strings.Repeat("x", 10_000) + `"]`)[:headLength]
	b.ReportAllocs()
	for b.Loop() {
		in.take(event)
		box.waiting, box.bytes = box.waiting[:0], 0
		in.events.began = time.Time{}
		in.events.lastExcess = time.Time{}
	}
}

// An event that is too much is turned away without a look at the rest of it, also when it is malformed or has binary parts,
// and by polling as by WebSocket. Its attachments are nothing to anybody.
func TestTooMuchIsNotDecoded(t *testing.T) {
	o := open(t, func(c *Config) { c.EventsPerSecond = 1 })
	c := o.enter(t, "EIO=4&userId=anna")
	c.ask("jywsping") // that was the burst
	for i, p := range []string{`4299["roster",[[[`, `451-98["todo",{"_placeholder":true,"num":0}]`, `4297["roster",` + strings.Repeat("[", 60_000)} {
		c.write(p)
		if i == 1 {
			if err := c.conn.WriteMessage(websocket.BinaryMessage, []byte{1, 2, 3}); err != nil {
				t.Fatal(err)
			}
		}
		if a := readAnswer(t, c.until(fmt.Sprintf("43%d[", 99-i))); a.Error.Code != "rate_limited" {
			t.Errorf("%.30s was answered %s", p, a.text)
		}
	}
	p := o.poll(t, "EIO=3&userId=ben")
	p.until("welcome")
	burst, all := lengthed(`420["jywsping"]`)+lengthed(`421["jywsping"]`), ""
	for i := 2; i < 10; i++ {
		all += lengthed(fmt.Sprintf(`42%d["roster",[[[`, i))
	}
	if status, body := p.post(burst + all); status != http.StatusOK {
		t.Fatalf("answered %d %s", status, body)
	}
	if got := p.until(`439[`); strings.Count(got, "rate_limited") != 8 || !strings.Contains(got, `430[{"ok":true`) {
		t.Errorf("answered %s", got)
	}
}

// lengthed frames a packet as Engine.IO 3 does.
func lengthed(packet string) string {
	return fmt.Sprintf("%d:%s", utf16Length([]byte(packet)), packet)
}

// Binary parts, of an event or of nothing, are no reason to end a session, and the event is answered.
func TestBinaryIsAnswered(t *testing.T) {
	o := open(t, func(c *Config) { c.EventsPerSecond = 1000 })
	for _, query := range []string{"EIO=4&userId=anna", "EIO=3&userId=ben"} {
		c := o.enter(t, query)
		for _, p := range []string{`451-7["roster",{"_placeholder":true,"num":0}]`, `450-7["roster"]`, `4510-7["roster",[` + strings.Repeat("[", 30_000)} {
			if strings.HasSuffix(p, "[") {
				p += strings.Repeat("]", 30_002)
			}
			c.write(p)
			if a := readAnswer(t, c.until("437[")); a.Error.Code != "bad_payload" {
				t.Errorf("%s: %.40s was answered %s", query, p, a.text)
			}
		}
		for _, part := range [][]byte{{4}, {4, 1, 2}, {4, 255, 0, 1}} {
			if err := c.conn.WriteMessage(websocket.BinaryMessage, part); err != nil {
				t.Fatal(err)
			}
		}
		if a := c.ask("jywsping"); !a.OK {
			t.Errorf("%s: afterwards %s", query, a.text)
		}
		c.write(`4511-7["roster"]`) // more than any client announces
		c.ended()
	}
}

// Above so many handshakes a second an address is told to come back, before anything is built for it; who is in already
// and who comes from elsewhere notices nothing.
func TestTooManyHandshakes(t *testing.T) {
	o := open(t, func(c *Config) {
		proxies, err := peer.ParseProxies([]string{"127.0.0.1"})
		if err != nil {
			t.Fatal(err)
		}
		c.HandshakesPerSecond, c.Proxies = 2, proxies
	})
	p := o.poll(t, "EIO=4&userId=anna")
	goroutines := runtime.NumGoroutine()
	refused := 0
	for i := range 60 {
		query := []string{"&transport=polling", "&transport=websocket", "&transport=polling&sid=", "&transport=polling&userId=anna"}[i%4]
		resp, err := http.Get(o.url + "/socket.io/?EIO=4" + query)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode == http.StatusTooManyRequests {
			if refused++; resp.Header.Get("Retry-After") != "1" {
				t.Errorf("answered %v %s", resp.Header, body)
			}
		}
	}
	if counted := o.counted(t, "rollcall_connects_total", "rate_limited"); refused < 40 || counted != float64(refused) {
		t.Errorf("%d of 60 handshakes were too many, counted %v", refused, counted)
	}
	if now := runtime.NumGoroutine(); now > goroutines+60 {
		t.Errorf("%d goroutines before, %d after", goroutines, now)
	}
	if status, _ := p.post("40"); status != http.StatusOK {
		t.Errorf("a client that is in was answered %d", status)
	}
	p.header = http.Header{"X-Forwarded-For": {"192.0.2.7"}}
	elsewhere := o.pollWith(t, "EIO=4&userId=ben", p.header)
	if status, _ := elsewhere.post("40"); status != http.StatusOK {
		t.Errorf("somebody from elsewhere was answered %d", status)
	}
	_, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(o.url, "http")+"/socket.io/?EIO=4&transport=websocket", nil)
	if err == nil || resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a WebSocket was answered %v, %v", resp, err)
	}
}

// Nothing opens beside the one socket of a connection: not in other namespaces, not by many CONNECTs at once, and not
// before a CONNECT. A client that tries for long is cut off.
func TestNothingElseOpens(t *testing.T) {
	o := open(t, func(c *Config) { c.ConnectTimeout = time.Second })
	c := o.dial(t, "EIO=4&userId=anna")
	for i := range 300 {
		c.write(fmt.Sprintf(`40/n%d,{"token":"x"}`, i))
	}
	if p := c.until("44/n299,"); !strings.Contains(p, "Invalid namespace") {
		t.Errorf("another namespace was answered %s", p)
	}
	c.ended() // by the connect timeout
	p := o.poll(t, "EIO=4&userId=anna")
	p.post(strings.Repeat("40\x1e40/x,\x1e", 3000))
	storetest.Eventually(t, func() bool { return o.hall.Sockets() == 0 }, "many CONNECTs left a socket")
	for _, early := range []string{`42["jywsping"]`, "41", "431[]x", `44{"message":"x"}`, "45", "4", "4x"} {
		c := o.dial(t, "EIO=4&userId=anna")
		c.write(early)
		if early != "431[]x" { // forged, and so nothing
			c.ended()
		}
	}
	in := o.enter(t, "EIO=4&userId=anna")
	in.write(`40/admin,`)
	in.until("44/admin,")
	if a := in.ask("jywsping"); !a.OK || len(o.hall.Find(hall.Audience{All: true})) != 1 {
		t.Errorf("%s, %d sockets", a.text, len(o.hall.Find(hall.Audience{All: true})))
	}
}

// The auth object of a CONNECT is read without building what is in it, and only as deep as any JSON here.
func TestConnectPayloads(t *testing.T) {
	o := locked(t, func(c *Config) { c.ConnectTimeout = time.Second })
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for payload, ends := range map[string]bool{
		`{"a":` + nested(63) + `}`: false, `{"a":` + nested(64) + `}`: true, `{"a":` + nested(30_000) + `}`: true, `{"token":` + strings.Repeat(`{"a":`, 10_000): true,
		`[` + strings.Repeat("{},", 20_000) + `{}]`: true, `{"a":[` + strings.Repeat("{},", 20_000) + `{}]}`: false, `"x"`: true, `1`: true, `[]`: true, `{`: true, `null`: false, ` {} `: false, `{}x`: true,
	} {
		c := o.dial(t, "EIO=4")
		c.write("40" + payload)
		if ends {
			c.ended()
		} else if p := c.read(); !strings.Contains(p, `"unauthorized"`) {
			t.Errorf("%.40s was answered %s", payload, p)
		}
	}
	c := o.dial(t, "EIO=4")
	c.write("40" + `{"a":"` + strings.Repeat("x", 1<<16) + `"}`)
	c.ended()
}

// What the decoder builds out of a packet is little more than its bytes, whatever the packet is made of.
func TestDecodingIsCheap(t *testing.T) {
	const size = 60_000
	fill := func(head, unit, tail string) string {
		return head + strings.Repeat(unit, size/len(unit)) + tail
	}
	for name, packet := range map[string]string{
		"objects in a CONNECT": fill(`0{"a":[`, `{"a":{}},`, `0]}`), "arguments": fill(`2["a"`, `,1`, `]`), "objects": fill(`2["a",[`, `{},`, `0]]`),
		"nested": fill(`2["a",`, `[`, ``), "binary": fill(`51-["a",[`, `{"_placeholder":true,"num":0},`, `0]]`), "a name": fill(`2["`, `a`, `"]`), "a namespace": fill(`2/`, `a`, `,["a"]`),
		"digits": fill(`2`, `1`, `["a"]`), "an ack": fill(`3`, `1`, `[]`), "an error": fill(`4{"a":[`, `{},`, `0]}`),
	} {
		const runs = 10
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			_, _ = decodePacket([]byte(packet))
		}
		runtime.ReadMemStats(&after)
		if ratio := float64(after.TotalAlloc-before.TotalAlloc) / float64(runs*len(packet)); ratio > 10 {
			t.Errorf("%s: %.1f bytes are allocated for each byte", name, ratio)
		}
	}
}

// The limits are for each connection: two of one user do not share them.
func TestLimitsArePerConnection(t *testing.T) {
	o := open(t, func(c *Config) { c.EventsPerSecond = 2 })
	one, two := o.enter(t, "EIO=4&userId=anna"), o.enter(t, "EIO=4&userId=anna")
	for range 20 {
		one.write(`42["jywsping"]`)
	}
	if a := one.ask("jywsping"); a.Error.Code != "rate_limited" {
		t.Errorf("the loud one was answered %s", a.text)
	}
	if a := two.ask("jywsping"); !a.OK {
		t.Errorf("the other one was answered %s", a.text)
	}
}

// Whoever connects and says nothing is gone when he is closed. The engine's first ping used to meet that moment, and then it waited
// for the answer for a day, with all that it knew of the connection: thousands of such visits took hundreds of megabytes.
func TestSilentVisitsLeaveNothing(t *testing.T) {
	o := open(t, func(c *Config) { c.ConnectTimeout, c.PingInterval = time.Second, time.Second })
	before := runtime.NumGoroutine()
	var visits []*webSocketClient
	for range storetest.Size(2000, 300) {
		visits = append(visits, o.dial(t, "EIO=4"))
	}
	for _, c := range visits {
		c.ended()
	}
	storetest.Eventually(t, func() bool { return runtime.NumGoroutine() < before+len(visits)/50 }, "goroutines are left of silent visits")
}
