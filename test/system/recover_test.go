package system_test

import (
	"fmt"
	"testing"
	"time"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// The only node is killed: nobody may stay online who does not come back, and what was accepted must be there.
func TestKillAndRestart(t *testing.T) {
	storetestEach(t, func(t *testing.T, dialect string) {
		s := launch(t, dialect, settings{"presence.grace": "1s", "presence.node_timeout": "3s", "presence.node_heartbeat": "500ms"})
		n := storetest.Size(200, 40)
		for i := range n {
			if _, err := join(s.base, fmt.Sprintf("u%d", i), "42"); err != nil {
				t.Fatal(err)
			}
		}
		var done struct{ Version int64 }
		s.must("PATCH", "/api/v1/conferences/42/tree", `{"topicInfo":{"kept":true}}`, &done)
		s.kill()
		begin := time.Now()
		s.start()
		back, err := join(s.base, "u0", "42")
		if err != nil {
			t.Fatal(err)
		}
		defer back.leave()
		if !back.wait(20*time.Second, func() bool { return back.online == 1 }) {
			t.Errorf("%d people are shown online, one is", back.online)
		}
		db := s.pool()
		storetest.EventuallyWithin(t, 20*time.Second, func() bool {
			var online int
			if err := db.QueryRow("SELECT COUNT(*) FROM presence WHERE state <> 'offline'").Scan(&online); err != nil {
				t.Fatal(err)
			}
			return online == 1
		}, "somebody who is not there stays online")
		var after struct {
			Version   int64
			TopicInfo map[string]bool
		}
		s.must("GET", "/api/v1/conferences/42/tree", nil, &after)
		if !after.TopicInfo["kept"] || after.Version < done.Version {
			t.Errorf("after the restart the tree is %+v, want version %d or later with the topic", after, done.Version)
		}
		storetest.Show(t, "kill -9 with %d people and restart: %v after the kill the 1 who came back is online and 0 others are; the accepted change is there", n, time.Since(begin).Round(time.Millisecond))
	})
}

// What debounce held back must be said even if the process that held it back is killed.
func TestAnnouncedAfterKill(t *testing.T) {
	s := launch(t, store.MySQL, settings{"presence.grace": "0s", "presence.debounce": "4s", "presence.node_timeout": "3s", "presence.node_heartbeat": "500ms"})
	flap := func() {
		w, err := join(s.base, "flapper", "42")
		if err != nil {
			t.Fatal(err)
		}
		w.leave()
	}
	db := s.pool()
	states := func(event, state string) int {
		var n int
		if err := db.QueryRow("SELECT COUNT(*) FROM notices WHERE event = ? AND state = ? AND sender_id = 'flapper'", event, state).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	flap()
	storetest.Eventually(t, func() bool { return states("offline_notice", "sent") == 1 }, "the first offline was not announced")
	if _, err := join(s.base, "flapper", "42"); err != nil {
		t.Fatal(err)
	}
	storetest.Eventually(t, func() bool { return states("online_notice", "suppressed") == 1 }, "the second online was not held back")
	s.kill()
	s.start()
	w, err := join(s.base, "flapper", "42")
	if err != nil {
		t.Fatal(err)
	}
	defer w.leave()
	storetest.EventuallyWithin(t, 10*time.Second, func() bool { return states("online_notice", "sent") == 2 }, "what was held back was not announced after the restart")
	storetest.Show(t, "an online_notice held back by debounce was announced after kill -9 and restart")
}
