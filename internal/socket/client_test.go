package socket

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/message"
	"rollcall/internal/notice"
)

// enter connects and waits until the socket is in its rooms.
func (o *opened) enter(t testing.TB, query string) *webSocketClient {
	t.Helper()
	c := o.dial(t, query)
	if !strings.HasPrefix(query, "EIO=3") { // 2.x is connected without asking
		c.write("40")
	}
	c.event("welcome")
	c.ask("jywsping") // answered in the order of events, and so after it is in
	return c
}

// answered is what the answers to events have in common, and what some of them have.
type answered struct {
	OK            bool
	Error         struct{ Code, Message string }
	ID, Reason    string
	Delivered     int
	Queued        bool
	Next          *string
	Unread        notice.Unread
	Items         []json.RawMessage
	SignedAt      int64
	text          string
	RosterVersion int64

	Version, Online, Expected, Excused int64
}

// ask emits an event and returns its answer.
func (c *webSocketClient) ask(event string, arg ...string) answered {
	c.t.Helper()
	c.write("4277" + eventText(event, arg...))
	return readAnswer(c.t, c.until("4377["))
}

func eventText(event string, arg ...string) string {
	return `["` + event + `"` + strings.Join(append([]string{""}, arg...), ",") + `]`
}

func readAnswer(t testing.TB, packet string) answered {
	t.Helper()
	var list []answered
	if err := json.Unmarshal([]byte(packet[strings.Index(packet, "["):]), &list); err != nil || len(list) != 1 {
		t.Fatalf("%s: %v", packet, err)
	}
	list[0].text = packet
	return list[0]
}

// askBoth emits an event that is answered and also has another event said, in whatever order.
func (c *webSocketClient) askBoth(event, arg, said string) (answered, []json.RawMessage) {
	c.t.Helper()
	c.write("4277" + eventText(event, arg))
	var a *answered
	var args []json.RawMessage
	for a == nil || args == nil {
		p := c.read()
		if strings.HasPrefix(p, "4377[") {
			got := readAnswer(c.t, p)
			a = &got
		} else if name, list, _ := parse(p); name == said {
			args = list
		}
	}
	return *a, args
}

// said reads up to an event, whether or not an acknowledgement is asked for, and returns its arguments and the number
// under which that is to come.
func (c *webSocketClient) said(event string) (args []json.RawMessage, number string) {
	c.t.Helper()
	for {
		if name, list, n := parse(c.read()); name == event {
			return list, n
		}
	}
}

// silent fails if an event came before what is asked now is answered.
func (c *webSocketClient) silent(event string) {
	c.t.Helper()
	c.write(`4278["jywsping"]`)
	for p := ""; !strings.HasPrefix(p, "4378["); {
		p = c.read()
		if name, _, _ := parse(p); name == event {
			c.t.Fatalf("%s came: %s", event, p)
		}
	}
}

var eventPacket = regexp.MustCompile(`^42(\d*)(\[".*)$`)

func parse(packet string) (name string, args []json.RawMessage, number string) {
	m := eventPacket.FindStringSubmatch(packet)
	if m == nil {
		return "", nil, ""
	}
	var list []json.RawMessage
	if json.Unmarshal([]byte(m[2]), &list) != nil || len(list) == 0 || json.Unmarshal(list[0], &name) != nil {
		return "", nil, ""
	}
	return name, list[1:], m[1]
}

// pushMessage is the argument of push_message.
type pushMessage struct {
	Unread notice.Unread
	Items  []struct {
		ID, Event, Category, Title, Body string
		Data                             json.RawMessage
		Read                             bool
	}
	More bool
}

func (c *webSocketClient) pushed() pushMessage {
	c.t.Helper()
	args, _ := c.said("push_message")
	return readPush(c.t, args)
}

func readPush(t testing.TB, args []json.RawMessage) pushMessage {
	t.Helper()
	var p pushMessage
	if err := json.Unmarshal(args[0], &p); err != nil {
		t.Fatalf("%s: %v", args[0], err)
	}
	return p
}

// send posts a notice as a backend would.
func (o *opened) send(t *testing.T, n message.Notice) string {
	t.Helper()
	if n.Event == "" {
		n.Event = "notice"
	}
	if n.Category == "" {
		n.Category = "system"
	}
	sent, err := o.messages.Send(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return sent.ID
}

// fate returns what became of a notice for a user.
func (o *opened) fate(t *testing.T, noticeID, user string) string {
	t.Helper()
	list, _, err := o.Notices.Deliveries(t.Context(), noticeID, "", 200)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		if d.UserID == user {
			return d.State
		}
	}
	return ""
}

// counted returns the value of a counter of the door, or of its net, whose labels have the values given.
func (o *opened) counted(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	families, err := o.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			values := []string{}
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if f.GetName() == name && slices.Equal(values, labels) {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}
