package socket

import (
	"strings"
	"testing"

	"rollcall/internal/storetest"
)

// What a client has to say is in the outbox when it is told so.
func TestClientEventIsForwarded(t *testing.T) {
	o := open(t, nil)
	c, nobody := o.enter(t, "EIO=4&userId=anna&conferenceId=42"), o.enter(t, "EIO=4")
	if a := c.ask("receive_client_event", `{"n":12345678901234567890,"s":"<&>"}`); !a.OK {
		t.Fatal(a.text)
	}
	if a := nobody.ask("receive_client_event", `"hello"`); !a.OK {
		t.Fatal(a.text)
	}
	var bodies []string
	list, _, err := o.Webhooks.List(t.Context(), "", "", 50)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		if d.Type == "client.event" {
			bodies = append(bodies, string(d.Body))
		}
	}
	if len(bodies) != 2 {
		t.Fatalf("the outbox has %q", bodies)
	}
	for i, parts := range [][]string{{`"userId":""`, `"event":"hello"`}, {`"userId":"anna"`, `"conferenceId":"42"`, `"event":{"n":12345678901234567890,"s":"<&>"}`}} {
		for _, part := range parts {
			if !strings.Contains(bodies[i], part) {
				t.Errorf("%s lacks %s", bodies[i], part)
			}
		}
	}
}

// Signing in says when, again too; sharing belongs to the socket.
func TestSignInAndSameScreen(t *testing.T) {
	o := open(t, nil)
	anna, ben := o.enter(t, "EIO=4&userId=anna&conferenceId=42"), o.enter(t, "EIO=4&userId=ben&conferenceId=42")
	first := anna.ask("sign_in", `{"seat":7}`)
	if !first.OK || first.SignedAt == 0 {
		t.Fatal(first.text)
	}
	if again := anna.ask("sign_in"); again.SignedAt != first.SignedAt {
		t.Errorf("signed at %d, then at %d", first.SignedAt, again.SignedAt)
	}
	if a := anna.ask("same_screen", `{"action":"start"}`); !a.OK {
		t.Fatal(a.text)
	}
	if a := ben.ask("same_screen", `{"action":"start"}`); a.Error.Code != "conflict" {
		t.Errorf("a second sharing was answered %s", a.text)
	}
	if a := anna.ask("same_screen", `{"action":"end"}`); !a.OK {
		t.Error(a.text)
	}
	if a := ben.ask("same_screen", `{"action":"start"}`); !a.OK {
		t.Error(a.text)
	}
	ben.write("41") // a goodbye: the sharing ends at once
	storetest.Eventually(t, func() bool { return strings.Contains(anna.ask("tree_resync").text, `"isShare":"0"`) }, "the sharing outlives its socket")
}
