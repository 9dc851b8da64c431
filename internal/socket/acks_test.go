package socket

import (
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"rollcall/internal/message"
	"rollcall/internal/storetest"
)

// Whatever a number was never asked for, or was answered already, settles nothing; the oldest of too many is forgotten.
func TestAcksAreSettledOnce(t *testing.T) {
	var a acks
	if got := a.settle(1); got != "" {
		t.Errorf("what was never asked is %q", got)
	}
	for i := range uint64(maxAsked + 2) {
		a.expect(i, "n"+strconv.FormatUint(i, 10))
	}
	for number, want := range map[uint64]string{0: "", 1: "", 2: "n2", maxAsked + 1: "n" + strconv.Itoa(maxAsked+1)} {
		if got := a.settle(number); got != want {
			t.Errorf("%d settles %q, want %q", number, got, want)
		}
		if got := a.settle(number); got != "" {
			t.Errorf("%d settles twice", number)
		}
	}
	if len(a.asked) != len(a.order) || len(a.order) != maxAsked-2 {
		t.Errorf("%d and %d are left, want %d", len(a.asked), len(a.order), maxAsked-2)
	}
}

// forged are ACK packets that answer nothing.
var forged = []string{
	"43", "43[", "43[]", "431", "431[", `431["x"`, "431[]", "43-1[]", "43+1[]", "430x1[]", "431_0[]", "43/ns,1[]", "43/", "43/" + strings.Repeat("x", 600) + ",1[]",
	"4399999999999999999999999999[]", "4318446744073709551615[]", "43" + strings.Repeat("9", 60000), "43[[[[", "43\xff\xfe[]", "461-[]", "460-1[]",
}

// An acknowledgement that nobody asked for is nothing: the connection goes on, and nothing is settled.
func TestForgedAcks(t *testing.T) {
	o := open(t, nil)
	for _, query := range []string{"EIO=4&userId=anna", "EIO=3&userId=ben"} {
		c := o.enter(t, query)
		for _, p := range forged {
			if strings.HasPrefix(p, "46") && strings.HasPrefix(p, "461-") {
				continue // its attachment would have to follow
			}
			c.write(p)
		}
		if a := c.ask("jywsping"); !a.OK {
			t.Errorf("%s after forged acks: %s", query, a.text)
		}
	}
}

// The number that one client was asked under settles nothing when another sends it, nor when it comes with a
// namespace; from the right one it settles the notice, once or twice, as a text or with a binary answer.
func TestAckSettlesNotice(t *testing.T) {
	o := open(t, nil)
	anna, ben := o.enter(t, "EIO=4&userId=anna&clientType=pc&deviceId=d1"), o.enter(t, "EIO=4&userId=ben")
	first := o.send(t, message.Notice{Users: []string{"anna"}, Title: "Hello"})
	args, number := anna.said("notice")
	if number == "" || !strings.Contains(string(args[0]), `"id":"`+first+`"`) {
		t.Fatalf("the notice came as %s, to be acknowledged under %q", args, number)
	}
	ben.write("43" + number + "[]")
	ben.ask("jywsping")
	anna.write("43/ns," + number + "[]")
	anna.ask("jywsping")
	if got := o.fate(t, first, "anna"); got != "sent" {
		t.Errorf("after forged acks the notice is %s", got)
	}
	anna.write("43" + number + `["thanks",{"n":1}]`)
	anna.write("43" + number + `[]`)
	storetest.Eventually(t, func() bool { return o.fate(t, first, "anna") == "acked" }, "the ack is not in the ledger")

	second := o.send(t, message.Notice{Users: []string{"anna"}, Title: "Hello again"})
	_, number = anna.said("notice")
	anna.write("461-" + number + `[{"_placeholder":true,"num":0}]`)
	if err := anna.conn.WriteMessage(2, []byte{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	storetest.Eventually(t, func() bool { return o.fate(t, second, "anna") == "acked" }, "the binary ack is not in the ledger")
	if a := anna.ask("jywsping"); !a.OK {
		t.Error(a.text)
	}
}

// A client that answers late answers on the connection that it has by then, maybe to the next life of the service or to
// another node. Both counted from 1, so that it settled a notice there that nobody had seen.
func TestLateAckToAnotherLife(t *testing.T) {
	before, after := open(t, nil), open(t, nil)
	then, now := before.enter(t, "EIO=4&userId=anna"), after.enter(t, "EIO=4&userId=anna")
	before.send(t, message.Notice{Users: []string{"anna"}, Title: "before"})
	noticeID := after.send(t, message.Notice{Users: []string{"anna"}, Title: "after"})
	_, late := then.said("notice")
	_, number := now.said("notice")
	now.write("43" + late + "[]")
	now.ask("jywsping")
	if late == number {
		t.Fatalf("both lives ask for %s", late)
	}
	now.write("43" + number + "[]")
	storetest.Eventually(t, func() bool { return after.fate(t, noticeID, "anna") == "acked" }, "its own number settles nothing")
}

// The numbers fit into 32 bits with a sign, which is what some clients read them as, and begin anew after the largest.
func TestAckNumbersStaySmall(t *testing.T) {
	h := NewHall(slog.New(slog.DiscardHandler))
	for _, last := range []uint32{math.MaxInt32 - 1, math.MaxUint32 - 1} {
		h.asked.Store(last)
		for _, want := range []uint64{math.MaxInt32, 0, 1} {
			if got := h.nextNumber(); got != want {
				t.Errorf("after %d comes %d, want %d", last, got, want)
			}
		}
	}
}

var askedNotice = regexp.MustCompile(`42(\d+)\["notice"`)

// Both revisions acknowledge by polling and by WebSocket.
func TestAckByEveryTransport(t *testing.T) {
	o := open(t, nil)
	for _, c := range []struct {
		user, revision string
		polling        bool
	}{{"p4", "4", true}, {"p3", "3", true}, {"w4", "4", false}, {"w3", "3", false}} {
		t.Run(c.user, func(t *testing.T) {
			query := "EIO=" + c.revision + "&userId=" + c.user
			if !c.polling {
				ws := o.enter(t, query)
				noticeID := o.send(t, message.Notice{Users: []string{c.user}})
				_, number := ws.said("notice")
				ws.write("43" + number + "[]")
				storetest.Eventually(t, func() bool { return o.fate(t, noticeID, c.user) == "acked" }, "the ack is not in the ledger")
				return
			}
			framed := func(packet string) string {
				if c.revision == "3" {
					return fmt.Sprintf("%d:%s", len(packet), packet)
				}
				return packet
			}
			p := o.poll(t, query)
			if c.revision == "4" {
				p.post("40")
			}
			p.until("welcome") // an event before would end the session
			p.post(framed(`421["jywsping"]`))
			p.until("431[")
			noticeID := o.send(t, message.Notice{Users: []string{c.user}})
			number := askedNotice.FindStringSubmatch(p.until(`["notice"`))
			if number == nil {
				t.Fatal("the notice asks for no acknowledgement")
			}
			if status, body := p.post(framed("43" + number[1] + "[]")); status != 200 {
				t.Fatalf("the ack was answered %d %s", status, body)
			}
			storetest.Eventually(t, func() bool { return o.fate(t, noticeID, c.user) == "acked" }, "the ack is not in the ledger")
		})
	}
}

// Acknowledgements are no events: however many come, the client may still speak.
func TestAcksDoNotCount(t *testing.T) {
	o := open(t, func(c *Config) { c.EventsPerSecond = 1 })
	c := o.enter(t, "EIO=4&userId=anna")
	for i := range 500 {
		c.write("43" + strconv.Itoa(i) + "[]")
	}
	if a := c.ask("jywsping"); !a.OK {
		t.Error(a.text)
	}
}
