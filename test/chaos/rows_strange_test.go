package chaos_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"rollcall/internal/clienttest"
	"rollcall/internal/servertest"
)

// strange is what somebody else has written into our rows of a room, and what is still to be told of it. Every room has members
// a (host) and b, who are not there, and p, who is; its tree has a topicInfo {"kept":1} and a timer {"kept":2}.
type strange struct {
	what, sql string // ? is the room
	keeps     []string
	lacks     []string // what must not be in the tree or the roster
}

var strangeRows = []strange{
	{"broken JSON in a section", `UPDATE conference_nodes SET topic_content = '{"a":' WHERE conference_id = ?`, []string{`"timer":{"kept":2}`}, []string{"topicInfo"}},
	{"text in a section", `UPDATE conference_nodes SET topic_content = 'hello' WHERE conference_id = ?`, []string{`"timer":{"kept":2}`}, []string{"topicInfo"}},
	{"two documents in a section", `UPDATE conference_nodes SET topic_content = '{"a":1}{"b":2}' WHERE conference_id = ?`, []string{`"timer":{"kept":2}`}, []string{"topicInfo"}},
	{"NUL and half an escape in a section", `UPDATE conference_nodes SET topic_content = CONCAT('{"a":"', CHAR(0), '\\u00"}') WHERE conference_id = ?`, []string{`"timer":{"kept":2}`}, []string{"topicInfo"}},
	{"a section as deep as a row is wide", `UPDATE conference_nodes SET topic_content = CONCAT(REPEAT('[', 100000), REPEAT(']', 100000)) WHERE conference_id = ?`, []string{`"timer":{"kept":2}`}, nil},
	{"NULL in a section", `UPDATE conference_nodes SET topic_content = NULL WHERE conference_id = ?`, []string{`"timer":{"kept":2}`}, []string{"topicInfo"}},
	{"NULL in every section", `UPDATE conference_nodes SET topic_content = NULL, timer = NULL, head_data = NULL, same_screen = NULL, sign_in_data = NULL, countersign_data = NULL, conference_content = NULL, conference_status = NULL WHERE conference_id = ?`,
		[]string{`"onLineNumber":1`}, []string{"topicInfo", `"timer"`}},
	{"broken JSON in head_data", `UPDATE conference_nodes SET head_data = '[1' WHERE conference_id = ?`, []string{`"onLineNumber":1`, `"topicInfo":{"kept":1}`}, nil},
	{"a list for head_data", `UPDATE conference_nodes SET head_data = '[1]' WHERE conference_id = ?`, []string{`"onLineNumber":1`, `"topicInfo":{"kept":1}`}, nil},
	{"a text for the timer", `UPDATE conference_nodes SET timer = '"soon"' WHERE conference_id = ?`, []string{`"timer":"soon"`, `"topicInfo":{"kept":1}`}, nil},
	{"a timer in an unknown state", `UPDATE conference_nodes SET timer = '{"state":"flying","endsAt":"x"}' WHERE conference_id = ?`, []string{`"state":"flying"`, `"topicInfo":{"kept":1}`}, nil},
	{"sharing by nobody", `UPDATE conference_nodes SET same_screen = '{"isShare":[1],"userId":{}}' WHERE conference_id = ?`, []string{`"topicInfo":{"kept":1}`}, nil},
	{"a number for who signed in", `UPDATE conference_nodes SET sign_in_data = '{"signed":7}' WHERE conference_id = ?`, []string{`"topicInfo":{"kept":1}`}, nil},
	{"an unknown role", `UPDATE conference_members SET role = 'emperor' WHERE conference_id = ? AND user_id = 'a'`, []string{`"userId":"a"`, `"userId":"b"`}, []string{"emperor"}},
	{"no role", `UPDATE conference_members SET role = '' WHERE conference_id = ? AND user_id = 'a'`, []string{`"userId":"a"`, `"userId":"b"`}, nil},
	{"broken JSON in attrs", `UPDATE conference_members SET attrs = '{"seat":' WHERE conference_id = ? AND user_id = 'a'`, []string{`"userId":"a"`, `"userId":"b"`}, []string{"seat"}},
	{"NULL in attrs", `UPDATE conference_members SET attrs = NULL WHERE conference_id = ? AND user_id = 'a'`, []string{`"userId":"a"`, `"userId":"b"`}, nil},
	{"a list for attrs", `UPDATE conference_members SET attrs = '[1]' WHERE conference_id = ? AND user_id = 'a'`, []string{`"userId":"a"`, `"userId":"b"`}, nil},
	{"a member whose id nobody can have", `INSERT INTO conference_members (conference_id, user_id, role, excused) VALUES (?, CONCAT('x', CHAR(10), '<y>'), 'host', 0)`, []string{`"userId":"a"`, `"userId":"b"`}, nil},
	{"a number for excused", `UPDATE conference_members SET excused = 5 WHERE conference_id = ? AND user_id = 'a'`, []string{`"userId":"a"`, `"userId":"b"`}, nil},
	{"somebody in an unknown state", `INSERT INTO presence (conference_id, user_id, state, since, arrived_at) VALUES (?, 'ghost', 'away', 0, 0)`, []string{`"online":1`, `"userId":"p"`}, []string{"ghost", `"away"`}},
	{"somebody in no state, with a deadline long ago", `INSERT INTO presence (conference_id, user_id, state, since, arrived_at, offline_due_at) VALUES (?, 'ghost', '', -5, -5, 1)`, []string{`"online":1`, `"userId":"p"`}, []string{"ghost"}},
}

// Others write rows, too. What cannot be understood is left out, all else is served, on both nodes, by REST and to sockets.
func TestStrangeRows(t *testing.T) {
	beside(t)
	c := begin(t, storesSection, "broken JSON, NULL or an unknown word in a row written by somebody else")
	town := found(c, 2, nil)
	calls, bad, wrong := 0, map[string]int{}, []error(nil)
	for i, s := range strangeRows {
		room := fmt.Sprintf("strange-%d", i)
		town.furnishes(room)
		p, err := town.enters(visit{user: "p", conference: room, to: at(town.nodes[0])})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := town.pool.Exec(s.sql, room); err != nil {
			t.Fatalf("%s: %v", s.what, err)
		}
		for _, n := range town.nodes {
			told := ""
			for _, call := range callsAbout(room) {
				a, err := servertest.Call(town.ctx, call[0], n.base+call[1], nil)
				if calls++; err != nil {
					t.Fatal(err)
				}
				if a.Status >= 500 {
					bad[fmt.Sprintf("%s: %s %s %d", s.what, call[0], call[1], a.Status)]++
				}
				if strings.HasSuffix(call[1], room+"/tree") || strings.HasSuffix(call[1], room+"/presence") {
					told += string(a.Body)
				}
			}
			wrong = append(wrong, s.differs(n.id+" by REST", told)...)
			wrong = append(wrong, s.differs(n.id+" to a newcomer", town.newcomerHears(n, room))...)
		}
		p.leave()
	}
	for _, err := range wrong {
		c.progress("%v", err)
	}
	broken := 0.0
	for _, n := range town.nodes {
		broken += n.metric("rollcall_broken_sections_total")
	}
	town.orders("DELETE FROM presence WHERE user_id = 'ghost'") // nobody else would: they are somebody else's
	c.says(calls, "5xx 0", fmt.Sprintf("%v", bad), len(bad) == 0)
	c.says(len(strangeRows), "that part left out, everything else served, on both nodes, by REST and to newcomers", fmt.Sprintf("%d wrong%s", len(wrong), first3(wrong)), len(wrong) == 0)
	c.says(len(strangeRows), "counted", fmt.Sprintf("%.0f broken sections", broken), broken > 0)
}

// furnishes gives a room its members and its tree.
func (town *town) furnishes(room string) {
	town.t.Helper()
	n, path := town.nodes[0], "/api/v1/conferences/"+room
	members := []map[string]any{{"userId": "a", "role": "host"}, {"userId": "b"}, {"userId": "p"}}
	if err := n.call(town.ctx, "PUT", path+"/members", map[string]any{"members": members}, nil); err != nil {
		town.t.Fatal(err)
	}
	if _, err := n.patches(room, map[string]any{"topicInfo": map[string]any{"kept": 1}, "timer": map[string]any{"kept": 2}}); err != nil {
		town.t.Fatal(err)
	}
}

// callsAbout are method and path of what may be asked about a room. The first one tells the service to look again.
func callsAbout(room string) [][2]string {
	calls := [][2]string{{"POST", "/api/v1/conferences/" + room + "/tree/push"}}
	for _, path := range []string{
		"/conferences/" + room, "/conferences/" + room + "/tree", "/conferences/" + room + "/presence", "/conferences/" + room + "/members", "/conferences/" + room + "/attendance",
		"/users/p/presence", "/users/a/presence", "/users/ghost/presence", "/presence", "/presence/summary", "/conferences", "/notices?conferenceId=" + room, "/explain?userId=a&conferenceId=" + room,
	} {
		calls = append(calls, [2]string{"GET", "/api/v1" + path})
	}
	return calls
}

// differs says what is missing in a text, or should not be there.
func (s strange) differs(where, told string) (wrong []error) {
	for _, text := range s.keeps {
		if !strings.Contains(told, text) {
			wrong = append(wrong, fmt.Errorf("%s: %s does not say %s", s.what, where, text))
		}
	}
	for _, text := range s.lacks {
		if strings.Contains(told, text) {
			wrong = append(wrong, fmt.Errorf("%s: %s says %s", s.what, where, text))
		}
	}
	return wrong
}

// newcomerHears returns tree and roster as a system client that watches the room gets them: it is in no roster itself.
func (town *town) newcomerHears(n *node, room string) (told string) {
	town.t.Helper()
	link, err := clienttest.DialWire(n.base, values([][2]string{{"is_system", "1"}, {"userId", "system"}, {"conferenceId", room}}))
	if err != nil {
		town.t.Fatal(err)
	}
	defer link.Vanish()
	missing := map[string]bool{"note_tree": true, "presence_state": true}
	for len(missing) > 0 {
		packet, err := link.Next(callTimeout)
		if err != nil {
			return told + fmt.Sprintf(" %v missing: %v", missing, err)
		}
		if event, args, ok := packet.Event(); ok && missing[event] {
			delete(missing, event)
			told += string(text(args))
		}
	}
	return told
}

// text joins arguments.
func text(args []json.RawMessage) (all []byte) {
	for _, a := range args {
		all = append(all, a...)
	}
	return all
}
