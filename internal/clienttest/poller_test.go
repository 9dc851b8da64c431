package clienttest_test

import (
	"net/url"
	"strings"
	"testing"

	"rollcall/internal/clienttest"
)

// A Poller speaks over long-polling, and goes on over WebSocket after it has changed.
func TestPoller(t *testing.T) {
	p, err := clienttest.DialPoller(echo(t), url.Values{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Leave()
	if _, err := p.Until(clienttest.Packet.Connected); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"polled", "upgraded"} {
		if err := p.Send(`42["say","` + word + `"]`); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Until(func(packet clienttest.Packet) bool { return strings.Contains(string(packet), word) }); err != nil {
			t.Fatalf("waiting for what was said: %v", err)
		}
		if word == "polled" {
			if err := p.Upgrade(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
