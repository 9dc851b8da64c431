package socket

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/zishang520/socket.io/parsers/engine/v3/packet"
	"github.com/zishang520/socket.io/parsers/engine/v3/parser"
	"github.com/zishang520/socket.io/servers/engine/v3/transports"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// bodyTimeout is how long a client may take to send the body of a POST.
const bodyTimeout = 10 * time.Second

// pollingBuilder makes the library use our long-polling transport instead of its own, in which two writers may
// answer one poll and cancelled, doubled or malformed requests go unnoticed. JSONP does not exist here.
type pollingBuilder struct {
	transports.PollingBuilder
	lines *lines
}

// New implements the library's TransportCtor.
func (b *pollingBuilder) New(ctx *types.HttpContext) transports.Transport {
	t := &polling{Transport: transports.MakeTransport(), lines: b.lines}
	t.box, t.in = b.lines.newEnds(t)
	t.Prototype(t)
	t.Construct(ctx)
	t.SetWritable(true) // always: see webSocket
	return t
}

// polling is one long-polling session: a GET that waits for frames, and POSTs that bring packets.
type polling struct {
	transports.Transport
	lines *lines
	box   *outbox
	in    *intake

	mu      sync.Mutex         // guards the rest; never held while calling the library
	poll    *types.HttpContext // the GET that waits; nil when none does
	posting bool               // a POST is being read
	silence *time.Timer        // ends the session when no request comes; nil before the first
	closed  bool               // silence has been stopped for good
}

// Name implements Transport.
func (t *polling) Name() string { return transports.POLLING }

func (t *polling) ends() (*outbox, *intake) { return t.box, t.in }

// attempt calls f. A panic in it ends the session, and the request that it was about.
func (t *polling) attempt(work string, ctx *types.HttpContext, f func()) {
	if t.lines.net.Call(work, f) {
		return
	}
	if ctx != nil {
		refuse(ctx, http.StatusInternalServerError)
		ctx.Flush() // its handler waits for this, should an answer have begun
	}
	t.OnError("a bug", nil)
}

// OnRequest implements Transport.
func (t *polling) OnRequest(ctx *types.HttpContext) {
	t.attempt("poll", ctx, func() {
		t.heard()
		switch ctx.Method() {
		case http.MethodGet:
			t.onPoll(ctx)
		case http.MethodPost:
			t.onPost(ctx)
		default:
			refuse(ctx, http.StatusMethodNotAllowed)
		}
	})
}

// heard notes a sign of life: a client answers every heartbeat with requests, of which one comes when the poll that brought it is
// answered.
func (t *polling) heard() {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
	case t.silence == nil:
		t.silence = t.lines.net.After(t.lines.silence, "end a silent session", func() { t.OnError("silent", nil) })
	default:
		t.silence.Reset(t.lines.silence)
	}
}

// forget ends the wait for signs of life.
func (t *polling) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed = true; t.silence != nil {
		t.silence.Stop()
	}
}

func (t *polling) onPoll(ctx *types.HttpContext) {
	t.mu.Lock()
	overlap := t.poll != nil
	if !overlap {
		t.poll = ctx
	}
	t.mu.Unlock()
	if overlap {
		refuse(ctx, http.StatusBadRequest)
		t.OnError("overlapping polls", nil)
		return
	}
	// The context also ends when the poll was answered; then it is not the waiting one any more.
	context.AfterFunc(ctx.Request().Context(), func() {
		defer t.lines.net.Catch("give up a poll")
		if t.release(ctx) {
			t.OnError("poll cancelled", nil)
		}
	})
	t.ready()
	if t.ReadyState() == "closed" { // since before the poll was put into its place
		t.end(packet.NOOP)
	}
}

// release takes ctx out of the waiting place and reports whether it was there.
func (t *polling) release(ctx *types.HttpContext) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.poll != ctx || ctx == nil {
		return false
	}
	t.poll = nil
	return true
}

// ready answers the waiting poll, if there is one, with what waits in the outbox.
func (t *polling) ready() {
	t.mu.Lock()
	ctx := t.poll
	var frames []*frame
	if ctx != nil {
		if frames = t.box.take(t); frames != nil {
			t.poll = nil
		}
	}
	t.mu.Unlock()
	if frames != nil {
		t.answerLater(ctx, frames)
	}
}

// answerLater answers a poll in a goroutine: whoever pushes must not wait for a client that does not read.
func (t *polling) answerLater(ctx *types.HttpContext, frames []*frame) {
	t.lines.net.Go("answer a poll", func() { t.attempt("answer a poll", ctx, func() { t.answer(ctx, frames) }) })
}

// answer writes the answer to a poll, which is out of the waiting place and so is answered by nobody else.
func (t *polling) answer(ctx *types.HttpContext, frames []*frame) {
	body := payload(frames, t.Protocol())
	_ = http.NewResponseController(ctx.Response()).SetWriteDeadline(time.Now().Add(t.lines.writeTimeout))
	h := ctx.ResponseHeaders()
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if _, err := ctx.Write(body); err != nil {
		t.OnError("answer poll", err)
	}
}

func (t *polling) onPost(ctx *types.HttpContext) {
	t.mu.Lock()
	overlap := t.posting
	t.posting = true
	t.mu.Unlock()
	if overlap {
		refuse(ctx, http.StatusBadRequest)
		t.OnError("overlapping posts", nil)
		return
	}
	status := t.receive(ctx)
	t.mu.Lock()
	t.posting = false
	t.mu.Unlock()
	if status != http.StatusOK {
		refuse(ctx, status)
		t.OnError("invalid payload", nil)
		return
	}
	h := ctx.ResponseHeaders()
	h.Set("Content-Type", "text/html") // what the protocol's reference server says
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = io.WriteString(ctx, "ok") // the client's loss is noticed by its next poll
}

// receive reads and hands over the packets of a POST and returns the status to answer with. Nothing of a payload
// with an invalid packet is handed over.
func (t *polling) receive(ctx *types.HttpContext) int {
	octets := ctx.Headers().Peek("Content-Type") == "application/octet-stream"
	if octets && t.Protocol() == 4 {
		return http.StatusBadRequest
	}
	r := ctx.Request()
	if r.ContentLength > t.lines.maxPayload {
		return http.StatusRequestEntityTooLarge
	}
	_ = http.NewResponseController(ctx.Response()).SetReadDeadline(time.Now().Add(bodyTimeout))
	var data types.BufferInterface = types.NewStringBuffer(nil)
	if octets {
		data = types.NewBytesBuffer(nil)
	}
	if _, err := data.ReadFrom(io.LimitReader(r.Body, t.lines.maxPayload+1)); err != nil {
		return http.StatusBadRequest
	}
	if int64(data.Len()) > t.lines.maxPayload {
		return http.StatusRequestEntityTooLarge
	}
	if octets {
		return t.handOctets(data)
	}
	return t.hand(data.Bytes())
}

// hand hands over the packets of a payload, as many as are not too much.
func (t *polling) hand(body []byte) int {
	count, good := 0, true
	whole := eachPacket(body, t.Protocol(), func(p []byte) bool {
		count++
		good = wellFormed(t.Parser(), p)
		return good
	})
	if !whole || !good || count == 0 {
		return http.StatusBadRequest
	}
	eachPacket(body, t.Protocol(), func(p []byte) bool {
		return t.take(p, func() *packet.Packet {
			decoded, _ := t.Parser().DecodePacket(types.NewStringBuffer(p)) // an error is wellFormed's business
			return decoded
		})
	})
	return http.StatusOK
}

// wellFormed reports whether a packet can be decoded.
func wellFormed(by parser.Parser, p []byte) bool {
	if p[0] != 'b' {
		return p[0] >= '0' && p[0] <= '6'
	}
	_, err := by.DecodePacket(types.NewStringBuffer(p))
	return err == nil
}

// take hands over a packet if it is not too much. It reports false if that was the end of the session.
func (t *polling) take(head []byte, decode func() *packet.Packet) bool {
	ok, flood := t.in.take(head[:min(len(head), headLength)])
	if flood {
		t.lines.flooded(t.Sid())
		t.OnError("flood", nil)
	}
	if !ok {
		return !flood
	}
	p := decode()
	if p.Type == packet.CLOSE {
		t.OnClose()
		return false
	}
	t.OnPacket(p)
	return true
}

// handOctets is hand for a binary payload. Its packets are in a form of their own, so that all are decoded first.
func (t *polling) handOctets(data types.BufferInterface) int {
	if countOctetPackets(data.Bytes()) > maxOctetPackets {
		return http.StatusBadRequest
	}
	packets, err := t.Parser().DecodePayload(data)
	if err != nil || len(packets) == 0 {
		return http.StatusBadRequest
	}
	for _, p := range packets {
		head := []byte{'?'}
		if text, ok := p.Data.(*types.StringBuffer); ok && p.Type == packet.MESSAGE {
			head = append([]byte{'4'}, text.Bytes()[:min(text.Len(), headLength)]...)
		}
		if !t.take(head, func() *packet.Packet { return p }) {
			break
		}
	}
	return http.StatusOK
}

// Send implements Transport. A NOOP only serves to end a waiting poll; without one it is nothing.
func (t *polling) Send(packets []*packet.Packet) {
	t.attempt("send", nil, func() {
		for _, p := range packets {
			if p.Type == packet.NOOP {
				t.end(packet.NOOP)
				continue
			}
			if f := t.encode(p); f != nil {
				t.box.push(f)
			}
		}
	})
	t.Emit("drain")
}

func (t *polling) encode(p *packet.Packet) *frame {
	data, err := t.lines.encoded(t.Parser(), p, false) // binary goes as base64, which both revisions understand
	if err != nil {
		return nil // a packet type that the library itself does not know
	}
	return newFrame(data.Bytes(), false)
}

// end answers the waiting poll, if there is one, with what waits and a packet of the given type.
func (t *polling) end(kind packet.Type) {
	t.mu.Lock()
	ctx := t.poll
	t.poll = nil
	t.mu.Unlock()
	if ctx != nil {
		t.answerLater(ctx, append(t.box.take(t), t.encode(&packet.Packet{Type: kind})))
	}
}

func (t *polling) overflow() {
	t.lines.slow()
	t.lines.net.Go("give up a slow client", func() { t.OnError("too slow", nil) }) // push must not wait for the engine
}

// DoClose implements Transport. A session that was upgraded ends its last poll quietly.
func (t *polling) DoClose(done types.Callable) {
	t.lines.net.Call("close", func() {
		if t.Discarded() {
			t.end(packet.NOOP)
		} else {
			t.end(packet.CLOSE)
		}
	})
	if done != nil {
		done()
	}
	t.OnClose()
}

// OnClose implements Transport. It runs for every way a session may end.
func (t *polling) OnClose() {
	defer t.lines.net.Catch("close")
	t.forget()
	t.end(packet.NOOP)
	t.box.close(t)
	t.Transport.OnClose()
	t.end(packet.NOOP) // for a poll that came meanwhile; see onPoll
}

func refuse(ctx *types.HttpContext, status int) {
	_ = ctx.SetStatusCode(status)
	_, _ = ctx.Write(nil)
}
