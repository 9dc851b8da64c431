package socket

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"rollcall/internal/conference"
	"rollcall/internal/message"
	"rollcall/internal/notice"
	"rollcall/internal/presence"
	"rollcall/internal/rescue"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
	"rollcall/internal/webhook"
)

// opened is a door with a house behind it, on an SQLite database, and a web server in front of it.
type opened struct {
	*Door
	url      string
	ready    func() error
	registry *prometheus.Registry // of the door and its net
}

// open builds a door. change may alter its configuration.
func open(t testing.TB, change func(*Config)) *opened {
	t.Helper()
	db := storetest.Open(t, store.SQLite)
	log := slog.New(slog.DiscardHandler)
	if t, ok := t.(*testing.T); ok { // a fuzz target may not log into its owner
		log = slog.New(slog.NewTextHandler(testLog{t}, nil))
	}
	o := &opened{registry: prometheus.NewRegistry()}
	c := Config{
		Path: "/socket.io/", PingInterval: 10 * time.Second, PingTimeout: 10 * time.Second, AllowEIO3: true, EIO3PingInterval: 25 * time.Second, EIO3PingTimeout: time.Minute,
		UpgradeTimeout: 20 * time.Second, ConnectTimeout: 20 * time.Second, MaxPayload: 1 << 16, MaxQueueBytes: 1 << 20, EventsPerSecond: 20, MaxSessionsPerUser: 10, NodeID: "n1",
		Ready: func() error { return o.readiness() }, Net: rescue.New(log, o.registry), Log: log, Metrics: o.registry,
	}
	if change != nil {
		change(&c)
	}
	hall := NewHall(log)
	var house *conference.House
	p := presence.New(presence.Config{
		DB: db, Node: "n1", Grace: time.Second, Heartbeat: time.Second, NodeTimeout: 5 * time.Second, Duplicates: "multi", Log: log, Metrics: prometheus.NewRegistry(),
		Record:  func(ctx context.Context, c []presence.Change) error { return house.Record(ctx, c) },
		Changed: func(c []presence.Change) { house.Changed(c) },
	})
	n := notice.New(notice.Config{DB: db, Prefix: "t", Window: time.Second, DetailMax: 200, Log: log, Metrics: prometheus.NewRegistry()})
	outbox, err := webhook.New(webhook.Config{DB: db, Endpoints: []webhook.Endpoint{{URL: "http://127.0.0.1:9/"}}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	house = conference.New(conference.Config{DB: db, Presence: p, Notices: n, Hall: hall, AutoCreate: true, Auth: c.Tokens != nil, MaxTreeBytes: 1 << 18, PollInterval: time.Second, DetailMax: 200, LogTree: "summary", Log: log, Metrics: prometheus.NewRegistry()})
	messages := message.New(message.Config{DB: db, Presence: p, Notices: n, Hall: hall, Cluster: house.Cluster, Members: house.Members, PushTree: house.Push, AckTimeout: 10 * time.Second, Log: log, Metrics: prometheus.NewRegistry()})
	c.Notices, c.Webhooks = n, outbox
	o.Door = New(c, hall, house, messages)
	ctx, cancel := context.WithCancel(context.Background())
	var ended []chan struct{}
	for _, run := range []func(context.Context) error{n.Run, p.Run, house.Run, messages.Run, o.Run} {
		done := make(chan struct{})
		ended = append(ended, done)
		go func() {
			defer close(done)
			_ = run(ctx)
		}()
	}
	<-p.Ready()
	server := httptest.NewServer(o.Door)
	o.url = server.URL
	t.Cleanup(func() {
		o.Close(0)
		server.Close()
		cancel()
		for _, done := range ended {
			<-done
		}
	})
	return o
}

func (o *opened) readiness() error {
	if o.ready == nil {
		return nil
	}
	return o.ready()
}

// testLog writes log lines into the test's log.
type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// webSocketClient is a bare client that reads packets one by one.
type webSocketClient struct {
	t       testing.TB
	conn    *websocket.Conn
	opening string // the first packet
}

// dial opens a WebSocket and reads OPEN.
func (o *opened) dial(t testing.TB, query string) *webSocketClient {
	t.Helper()
	return o.dialWith(t, query, nil)
}

func (o *opened) dialWith(t testing.TB, query string, header http.Header) *webSocketClient {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(o.url, "http")+"/socket.io/?transport=websocket&"+query, header)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &webSocketClient{t: t, conn: conn}
	if c.opening = c.read(); !strings.HasPrefix(c.opening, "0{") {
		t.Fatalf("the first packet is %q, want OPEN", c.opening)
	}
	return c
}

func (c *webSocketClient) read() string {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, data, err := c.conn.ReadMessage()
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	return string(data)
}

// until reads packets up to the first that begins with prefix.
func (c *webSocketClient) until(prefix string) string {
	c.t.Helper()
	for {
		if p := c.read(); strings.HasPrefix(p, prefix) {
			return p
		}
	}
}

// event reads up to an event and returns its payload.
func (c *webSocketClient) event(name string) json.RawMessage {
	c.t.Helper()
	p := c.until(`42["` + name + `",`)
	var args []json.RawMessage
	if err := json.Unmarshal([]byte(p[2:]), &args); err != nil {
		c.t.Fatal(err)
	}
	return args[1]
}

func (c *webSocketClient) write(packet string) {
	c.t.Helper()
	if err := c.conn.WriteMessage(websocket.TextMessage, []byte(packet)); err != nil {
		c.t.Fatal(err)
	}
}

// ended reads until the connection is closed.
func (c *webSocketClient) ended() {
	c.t.Helper()
	for {
		_ = c.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, _, err := c.conn.ReadMessage(); err != nil {
			if websocket.IsCloseError(err, websocket.CloseNormalClosure) || !strings.Contains(err.Error(), "timeout") {
				return
			}
			c.t.Fatalf("the connection was not closed: %v", err)
		}
	}
}

func TestNewcomerIsWelcomed(t *testing.T) {
	o := open(t, nil)
	c := o.dial(t, "EIO=4&userId=anna&conferenceId=42&userName=Anna")
	c.write("40")
	if p := c.read(); !strings.HasPrefix(p, `40{"sid":`) {
		t.Fatalf("the CONNECT was answered %q", p)
	}
	var w struct{ SessionID, UserID, UserName, ConferenceID, NodeID string }
	if err := json.Unmarshal(c.event("welcome"), &w); err != nil || w.UserID != "anna" || w.UserName != "Anna" || w.ConferenceID != "42" || w.SessionID == "" || w.NodeID != "n1" {
		t.Errorf("welcome is %+v, %v", w, err)
	}
	var tree struct {
		ConferenceID string
		HeadData     struct{ OnLineNumber int }
	}
	if err := json.Unmarshal(c.event("note_tree"), &tree); err != nil || tree.HeadData.OnLineNumber != 1 || tree.ConferenceID != "42" {
		t.Errorf("note_tree is %+v, %v", tree, err)
	}
	var state struct {
		Online int
		Users  []struct {
			UserID  string
			State   string
			Devices []struct{ SessionID string }
		}
	}
	if err := json.Unmarshal(c.event("presence_state"), &state); err != nil || state.Online != 1 || len(state.Users) != 1 || state.Users[0].UserID != "anna" || state.Users[0].Devices[0].SessionID != w.SessionID {
		t.Errorf("presence_state is %+v, %v", state, err)
	}
}

// dialUpgrade opens the WebSocket that is to take over a polling session.
func (o *opened) dialUpgrade(t *testing.T, p *poller) *webSocketClient {
	t.Helper()
	target := "ws" + strings.TrimPrefix(strings.Replace(p.url, "transport=polling", "transport=websocket", 1), "http")
	conn, _, err := websocket.DefaultDialer.Dial(target, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &webSocketClient{t: t, conn: conn}
}
