package chaos_test

import (
	"fmt"
	"testing"
	"time"

	"rollcall/internal/clienttest"
	"rollcall/internal/storetest"
)

// The clients of npm know one address and nothing of nodes. Whatever happens behind it, they come back by themselves.
func TestStockClients(t *testing.T) {
	beside(t)
	c := begin(t, networkSection, "stock clients (2.5, 4.8) through a node's death and a drain")
	town := found(c, 2, nil)
	base, driver := town.balances(), clienttest.Start(t)
	n := storetest.Size(50, 4)
	var clients []*clienttest.Client
	for i := range n {
		clients = append(clients, driver.Connect(t, clienttest.Options{
			URL: base, Version: []int{4, 2}[i%2], Reconnect: true, Transports: []string{"websocket"}, // polling needs a balancer that keeps to one node
			Query: map[string]string{"userId": fmt.Sprintf("stock-%d", i), "conferenceId": "42"},
		}))
	}
	back := func() int {
		return town.count("SELECT COUNT(DISTINCT s.user_id) FROM presence_sessions s JOIN nodes n ON n.id = s.node_id AND n.epoch = s.epoch AND n.state = 'up' WHERE s.closed_at IS NULL")
	}
	first, second := town.nodes[0], town.nodes[1]
	for _, event := range []struct {
		what string
		does func()
	}{
		{"kill -9", func() { first.kill(); first.start() }},
		{"a drain", func() { second.stop(); second.start() }},
	} {
		event.does()
		town.waitsFor(30*time.Second, func() bool { return back() == n && town.sockets() == n })
		c.none(n, n-back(), "stranded after "+event.what+":")
	}
	for _, client := range clients {
		client.Close(t)
	}
}

// sockets sums up those that the nodes hold.
func (town *town) sockets() (sum int) {
	for _, n := range town.living() {
		sum += int(n.metric("rollcall_sockets"))
	}
	return sum
}
