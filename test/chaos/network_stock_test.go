package chaos_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/internal/clienttest"
	"rollcall/internal/storetest"
)

// The clients of npm know one address and nothing of nodes. Whatever happens behind it, they come back by themselves.
func TestStockClients(t *testing.T) {
	beside(t)
	c := begin(t, networkSection, "stock clients (2.5, 4.8) through an outage of the database, a drain, a node's death, a slow-client close")
	town := found(c, 2, func(p *paces) settings {
		p.pingTimeout = 2 * time.Minute // a client that does not read is closed for what waits, not for its silence
		return settings{"database.timeout": "1s", "socket.max_queue_bytes": "300000"}
	})
	base, driver := town.balances(), clienttest.Start(t)
	n := storetest.Size(50, 4)
	var clients []*clienttest.Client
	for i := range n {
		clients = append(clients, driver.Connect(t, clienttest.Options{
			URL: base, Version: []int{4, 2}[i%2], Reconnect: true, ReconnectDelay: time.Second,
			Transports: []string{"websocket"}, // polling needs a balancer that keeps to one node
			Query:      map[string]string{"userId": fmt.Sprintf("stock-%d", i), "conferenceId": "42"},
		}))
	}
	first, second := town.nodes[0], town.nodes[1]
	for _, event := range []struct {
		what string
		does func()
	}{
		{"an outage of the database", func() { town.withoutDatabase(clients) }},
		{"kill -9", func() { first.kill(); first.start() }},
		{"a drain", func() { second.stop(); second.start() }},
		{"a slow-client close", func() { town.closesSlow(clients[:n/2]) }},
	} {
		event.does()
		town.waitsFor(30*time.Second, func() bool { return town.aboard() == n && town.sockets() == n })
		c.none(n, n-town.aboard(), "stranded after "+event.what+":")
	}
	for _, client := range clients {
		client.Close(t)
	}
}

// aboard counts users with a session at a node that lives.
func (town *town) aboard() int {
	town.t.Helper()
	return town.count("SELECT COUNT(DISTINCT s.user_id) FROM presence_sessions s JOIN nodes n ON n.id = s.node_id AND n.epoch = s.epoch AND n.state = 'up' WHERE s.closed_at IS NULL")
}

// withoutDatabase refuses the database to all nodes for a while, in which half of the clients lose their connections.
func (town *town) withoutDatabase(clients []*clienttest.Client) {
	town.t.Helper()
	for _, n := range town.nodes {
		n.rows.refuse()
	}
	town.eventually(15*time.Second, "the nodes notice", func() bool { return town.nodes[0].status("/readyz") == 503 && town.nodes[1].status("/readyz") == 503 })
	for _, client := range clients[:len(clients)/2] {
		client.Abort(town.t)
	}
	town.pause(time.Duration(storetest.Size(30, 3)) * time.Second)
	for _, n := range town.nodes {
		n.rows.mend()
	}
	town.eventually(15*time.Second, "the nodes are ready", func() bool { return town.nodes[0].status("/readyz") == 200 && town.nodes[1].status("/readyz") == 200 })
}

// closesSlow lets clients stop reading, sends them more than may wait until the nodes have given them up, and lets them read again.
func (town *town) closesSlow(clients []*clienttest.Client) {
	town.t.Helper()
	slow := func() (sum int) {
		for _, n := range town.nodes {
			sum += int(n.metric("rollcall_slow_clients_total"))
		}
		return sum
	}
	before, big := slow(), strings.Repeat("x", 60_000)
	var users []string
	for i, client := range clients {
		client.Freeze(town.t)
		users = append(users, fmt.Sprintf("stock-%d", i))
	}
	push := map[string]any{"userIds": users, "message": big, "destination": "filler"}
	town.eventually(60*time.Second, "clients that do not read are closed", func() bool {
		if err := town.nodes[0].call(town.ctx, "POST", "/api/v1/push", push, nil); err != nil {
			town.t.Errorf("push: %v", err)
		}
		return slow()-before >= len(clients)
	})
	for _, client := range clients {
		client.Thaw(town.t)
		client.WaitDisconnect(town.t)
	}
}

// sockets sums up those that the nodes hold.
func (town *town) sockets() (sum int) {
	for _, n := range town.living() {
		sum += int(n.metric("rollcall_sockets"))
	}
	return sum
}
