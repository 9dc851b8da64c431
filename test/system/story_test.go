package system_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/internal/clienttest"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// told matches an event whose first argument holds all of the given JSON fragments.
func told(fragments ...string) func([]json.RawMessage) bool {
	return func(args []json.RawMessage) bool {
		for _, f := range fragments {
			if len(args) == 0 || !strings.Contains(string(args[0]), f) {
				return false
			}
		}
		return true
	}
}

// number matches a tree with so many people online.
func number(n int) func([]json.RawMessage) bool {
	return told(fmt.Sprintf(`"onLineNumber":%d`, n))
}

// stage is a server, clients of one kind, and a look into the database.
type stage struct {
	*server
	driver *clienttest.Driver
	kind   clienttest.Options
	rows   *sql.DB
}

// open connects another tab of a user.
func (s *stage) open(user string) *clienttest.Client {
	s.t.Helper()
	o := s.kind
	o.URL, o.Query = s.base, map[string]string{"userId": user, "conferenceId": "42", "userName": strings.ToUpper(user)}
	return s.driver.Connect(s.t, o)
}

// in waits until a count of rows is as told.
func (s *stage) in(want int, query string) {
	s.t.Helper()
	var got int
	storetest.Eventually(s.t, func() bool {
		if err := s.rows.QueryRow("SELECT COUNT(*) FROM " + query).Scan(&got); err != nil {
			s.t.Fatal(err)
		}
		return got == want
	}, fmt.Sprintf("the database never counts %d in %s", want, query))
}

// Two users, from the first arrival to the last departure, with every kind of client there is.
func TestStory(t *testing.T) {
	kinds := map[string]clienttest.Options{
		"4.8 websocket":            {Transports: []string{"websocket"}},
		"4.8 polling":              {Transports: []string{"polling"}, NoUpgrade: true},
		"4.8 polling with upgrade": {},
		"2.5 websocket":            {Version: 2, Transports: []string{"websocket"}},
		"2.5 polling":              {Version: 2, Transports: []string{"polling"}, NoUpgrade: true},
		"2.5 polling with upgrade": {Version: 2},
	}
	for name, kind := range kinds {
		for _, dialect := range []string{store.SQLite, store.MySQL} {
			t.Run(name+" on "+dialect, func(t *testing.T) {
				t.Parallel()
				s := &stage{server: launch(t, dialect, settings{
					"presence.grace": "1s", "presence.debounce": "500ms",
					// A polling client that vanishes between two polls is only missed when it does not answer a ping.
					"socket.ping_interval": "1s", "socket.ping_timeout": "4s", "socket.eio3_ping_interval": "1s", "socket.eio3_ping_timeout": "4s",
				}), kind: kind}
				s.driver, s.rows = clienttest.Start(t), s.pool()
				s.play()
				storetest.Show(t, "the whole story held")
			})
		}
	}
}

func (s *stage) play() {
	t := s.t
	anna := s.open("anna")
	anna.Wait(t, "welcome", told(`"userId":"anna"`, `"userName":"ANNA"`, `"conferenceId":"42"`, `"sessionId":"`))
	anna.Wait(t, "note_tree", number(1))
	anna.Wait(t, "presence_state", told(`"userId":"anna"`, `"state":"online"`, `"online":1`))
	s.in(1, "presence WHERE conference_id = '42' AND user_id = 'anna' AND state = 'online'")
	s.in(1, "presence_sessions WHERE user_id = 'anna' AND closed_at IS NULL")

	ben := s.open("ben")
	anna.Wait(t, "online_notice", told(`"userId":"ben"`, `"userName":"BEN"`))
	anna.Wait(t, "note_tree", number(2))
	anna.Wait(t, "presence_diff", told(`"online":2`, `"userId":"ben"`))
	ben.Wait(t, "note_tree", number(2))
	ben.Wait(t, "presence_state", told(`"userId":"anna"`, `"userId":"ben"`))
	s.in(2, "presence WHERE conference_id = '42' AND state = 'online'")

	tab := s.open("ben") // a second tab is a second device, not a second person
	tab.Wait(t, "presence_state", told(`"online":2`))
	s.in(3, "presence_sessions WHERE closed_at IS NULL")
	tab.Close(t)
	s.in(2, "presence_sessions WHERE closed_at IS NULL")
	s.in(2, "presence WHERE state = 'online'")

	again := s.open("ben") // a reload: the new page is there before the old one is gone
	again.Wait(t, "presence_state", told(`"online":2`))
	ben.Abort(t)
	s.in(1, "presence_sessions WHERE user_id = 'ben' AND closed_at IS NOT NULL AND reason = 'lost'")
	s.in(2, "presence WHERE state = 'online'")
	ben = again

	ben.Abort(t) // the link is lost, and comes back within the grace
	anna.Wait(t, "presence_diff", told(`"state":"reconnecting"`, `"online":2`))
	s.in(1, "presence WHERE user_id = 'ben' AND state = 'reconnecting' AND offline_due_at IS NOT NULL")
	ben = s.open("ben")
	anna.Wait(t, "presence_diff", told(`"userId":"ben"`, `"state":"online"`, `"online":2`))
	if n := len(anna.Events("offline_notice")); n != 0 {
		t.Errorf("anna was told %d times that ben went, he never did", n)
	}

	ben.Abort(t) // the link is lost for good
	anna.Wait(t, "offline_notice", told(`"userId":"ben"`, `"reason":"lost"`))
	anna.Wait(t, "note_tree", number(1))
	s.in(1, "presence WHERE user_id = 'ben' AND state = 'offline'")

	ben = s.open("ben") // he comes back and leaves the conference, not the service
	anna.Wait(t, "online_notice", told(`"userId":"ben"`))
	anna.Wait(t, "note_tree", number(2))
	if a := ben.EmitAck(t, "leave"); !strings.Contains(string(a[0]), `"ok":true`) {
		t.Errorf("leave was answered %s", a)
	}
	anna.Wait(t, "offline_notice", told(`"userId":"ben"`, `"reason":"left"`))
	anna.Wait(t, "note_tree", number(1))
	if a := ben.EmitAck(t, "jywsping"); !strings.Contains(string(a[0]), `"ok":true`) {
		t.Errorf("the socket that left answers %s", a)
	}
	if a := ben.EmitAck(t, "user_login", map[string]any{"userId": "ben", "conferenceId": 42}); !strings.Contains(string(a[0]), `"ok":true`) {
		t.Errorf("user_login was answered %s", a)
	}
	anna.Wait(t, "note_tree", number(2))
	ben.Close(t)
	anna.Wait(t, "note_tree", number(1))
	s.in(1, "presence WHERE state = 'online'")

	s.must("POST", "/api/v1/users/anna/kick", map[string]string{"reason": "enough"}, nil)
	anna.Wait(t, "kicked", told("enough"))
	anna.WaitDisconnect(t)
	s.in(0, "presence WHERE state <> 'offline'")
	s.in(0, "presence_sessions WHERE closed_at IS NULL")
	s.in(1, "presence_sessions WHERE user_id = 'anna' AND reason = 'kicked'")
	s.logHolds()
}

// logHolds looks at the notice log after the story.
func (s *stage) logHolds() {
	s.t.Helper()
	storetest.EventuallyWithin(s.t, 5*time.Second, func() bool {
		var log struct {
			Items []struct {
				Event, SenderID, SenderName, State, SendType, Actor string
				Message                                             json.RawMessage
			}
		}
		s.must("GET", "/api/v1/notices?conferenceId=42&senderId=ben&limit=200", nil, &log)
		seen := map[string]int{}
		for _, item := range log.Items {
			if item.SenderName != "BEN" || item.SendType != "1" || item.Actor != "system" {
				s.t.Fatalf("a log row is %+v", item)
			}
			seen[item.Event]++
		}
		return seen["online_notice"] >= 3 && seen["offline_notice"] >= 3
	}, "the log does not tell ben's story")
	s.in(0, "notices WHERE event = 'note_tree' AND state <> 'sent'")
}
