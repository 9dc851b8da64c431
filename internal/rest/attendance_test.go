package rest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/id"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// stayed writes a session of conference 42 that was open from one time to another, in milliseconds; to 0 is open.
func (b *bench) stayed(user string, from, to int64, why string) {
	b.t.Helper()
	var closed *int64
	if to != 0 {
		closed = &to
	}
	err := b.DB.Write(b.t.Context(), func(_ context.Context, tx *gorm.DB) error {
		return tx.Exec(`INSERT INTO presence_sessions (id, conference_id, user_id, user_name, client_type, device_id, ip, node_id, epoch, opened_at, closed_at, reason)
			VALUES (?, '42', ?, ?, 'web', 'd', '192.0.2.9', 'elsewhere', 1, ?, ?, ?)`, id.New(), user, "=name "+user, from, closed, why).Error
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// TestAttendance: who was there when, as JSON and as a file, of members who never came and of a conference that ended.
func TestAttendance(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		b.must(201, "PUT", "/conferences/42/members", `{"members":[{"userId":"m1","name":"One"},{"userId":"m2","name":"Two"}]}`)
		if _, err := b.House.SignIn(t.Context(), "42", "m1", nil); err != nil {
			t.Fatal(err)
		}
		b.stayed("m1", 1000, 5000, "left")
		b.stayed("g", 2000, 4000, "node_lost")
		b.stayed("g", 1790000000000, 0, "")
		r := b.must(200, "GET", "/conferences/42/attendance", "")
		for _, part := range []string{
			`{"items":[{"userId":"m1","userName":"One","intervals":[{"from":1000,"to":5000,"reason":"left"}],"totalMs":4000,"signedAt":1`,
			`{"userId":"m2","userName":"Two","intervals":[],"totalMs":0,"signedAt":null}`,
			`{"userId":"g","userName":"=name g","intervals":[{"from":2000,"to":4000,"reason":"node_lost"},{"from":1790000000000,"to":null,"reason":null}],"totalMs":`,
		} {
			if !strings.Contains(r.Body.String(), part) {
				t.Errorf("lacks %s: %s", part, r.Body)
			}
		}
		r = b.must(200, "GET", "/conferences/42/attendance?format=csv", "")
		lines := strings.Split(r.Body.String(), "\r\n")
		if lines[0] != bom+"userId,userName,from,to,reason,totalMs,signedAt" || lines[2] != "m2,Two,,,,0," || len(lines) != 6 ||
			!strings.HasPrefix(lines[3], "g,'=name g,1970-01-01T00:00:02.000Z,1970-01-01T00:00:04.000Z,node_lost,") || !strings.HasPrefix(r.Header().Get("Content-Type"), "text/csv") {
			t.Errorf("file: %q", lines)
		}
		b.must(201, "PUT", "/conferences/42", `{"ended":true}`)
		if r = b.must(200, "GET", "/conferences/42/attendance", ""); !strings.Contains(r.Body.String(), `"reason":"ended"}]`) || strings.Contains(r.Body.String(), `"to":null`) {
			t.Errorf("after the end: %s", r.Body)
		}
		b.must(204, "DELETE", "/conferences/42", "")
		if r = b.must(200, "GET", "/conferences/42/attendance", ""); !strings.Contains(r.Body.String(), `"userId":"m1"`) {
			t.Errorf("of a deleted conference: %s", r.Body)
		}
		if r = b.must(200, "GET", "/conferences/nowhere/attendance", ""); strings.TrimSpace(r.Body.String()) != `{"items":[]}` {
			t.Errorf("of a conference that never was: %s", r.Body)
		}
		b.refused("422 bad_payload", "GET", "/conferences/42/attendance?format=xml", "")
		b.refused("422 bad_id", "GET", "/conferences/0/attendance", "")
	})
}

// TestPresenceAt: the roster is as it was at a time; now and what is still to come are now.
func TestPresenceAt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		b.stayed("1", 1000, 5000, "lost")
		b.arrive("2", "Two")
		r := b.must(200, "GET", "/conferences/42/presence?at=4000", "")
		if body := r.Body.String(); r.fields["online"] != 1.0 || !strings.Contains(body, `"userId":"1"`) || !strings.Contains(body, `"node":"elsewhere"`) || !strings.Contains(body, `"version":0`) {
			t.Errorf("then: %s", body)
		}
		if r = b.must(200, "GET", "/conferences/42/presence?at=5500", ""); !strings.Contains(r.Body.String(), `"state":"reconnecting"`) {
			t.Errorf("within grace: %s", r.Body)
		}
		for _, at := range []string{"0", fmt.Sprint(time.Now().Add(time.Hour).UnixMilli()), "9223372036854775807"} {
			if r = b.must(200, "GET", "/conferences/42/presence?at="+at, ""); r.fields["online"] != 1.0 || !strings.Contains(r.Body.String(), `"userId":"2"`) {
				t.Errorf("at %s: %s", at, r.Body)
			}
		}
		for _, at := range []string{"-1", "x", "1e3", "9223372036854775808"} {
			b.refused("422 bad_payload", "GET", "/conferences/42/presence?at="+at, "")
		}
	})
}

// TestBar: who is kicked with barSeconds may not come in again, there or anywhere, until they are over.
func TestBar(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		b.must(200, "POST", "/users/7/kick", `{"conferenceId":"42","barSeconds":60}`, "Idempotency-Key", "k")
		b.must(200, "POST", "/users/8/kick", `{"barSeconds":31536000}`)
		b.must(200, "POST", "/users/9/kick", `{"barSeconds":null}`)
		for who, want := range map[[2]string]bool{{"7", "42"}: true, {"7", "43"}: false, {"8", "42"}: true, {"8", "43"}: true, {"9", "42"}: false} {
			if bars, err := b.Presence.Bars(t.Context(), who[:1]); err != nil || bars.Keep(who[0], who[1]) != want {
				t.Errorf("%v: %v, %v", who, bars, err)
			}
		}
		if rows := b.logged("audit"); !strings.Contains(fmt.Sprint(rows), "barSeconds:60") {
			t.Errorf("audit: %v", rows)
		}
		for _, seconds := range []string{"0", "-1", "31536001", `"60"`, "1.5"} {
			b.refused("422 bad_payload", "POST", "/users/9/kick", `{"barSeconds":`+seconds+`}`)
		}
	})
}

// TestPurge: a dead node's sessions are closed, once, a living node's are not.
func TestPurge(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		b.arrive("1", "One")
		b.stayed("2", 1000, 0, "")
		err := db.Write(t.Context(), func(_ context.Context, tx *gorm.DB) error {
			return tx.Exec("INSERT INTO nodes (id, epoch, state, heartbeat_at, started_at) VALUES ('elsewhere', 1, 'up', 2000, 1)").Error
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if r := b.must(200, "POST", "/nodes/elsewhere/purge", "", "Idempotency-Key", "k"); r.fields["closed"] != 1.0 {
				t.Errorf("purge: %s", r.Body)
			}
		}
		if r := b.must(200, "POST", "/nodes/elsewhere/purge", "{}"); r.fields["closed"] != 0.0 {
			t.Errorf("again: %s", r.Body)
		}
		if r := b.must(200, "GET", "/conferences/42/attendance", ""); !strings.Contains(r.Body.String(), `[{"from":1000,"to":2000,"reason":"node_lost"}]`) {
			t.Errorf("attendance: %s", r.Body)
		}
		b.refused("409 node_alive", "POST", "/nodes/n1/purge", "")
		b.refused("404 not_found", "POST", "/nodes/unheard-of/purge", "")
		if rows := b.logged("audit"); len(rows) != 2 || !strings.Contains(fmt.Sprint(rows), "nodeId:elsewhere") {
			t.Errorf("audit: %v", rows)
		}
	})
}

// TestExplain: one line says what happened to a user; a question that is none is refused.
func TestExplain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		now := time.Now().UnixMilli()
		b.stayed("7", now-60_000, now-30_000, "node_lost")
		r := b.must(200, "GET", "/explain?userId=7&conferenceId=42", "")
		list := r.fields["items"].([]any)
		if len(list) != 5 || !strings.Contains(r.Body.String(), "The node elsewhere died (found by its heartbeat)") {
			t.Errorf("line: %s", r.Body)
		}
		first := list[0].(map[string]any)
		if first["kind"] != "session.opened" || first["at"] != float64(now-60_000) || first["node"] != "elsewhere" || first["ip"] != "192.0.2.9" {
			t.Errorf("first: %v", first)
		}
		if r = b.must(200, "GET", fmt.Sprintf("/explain?userId=7&from=%d&to=%d", now-31_000, now-30_000), ""); len(r.fields["items"].([]any)) != 2 {
			t.Errorf("a part: %s", r.Body)
		}
		if r = b.must(200, "GET", "/explain?userId=nobody-knows&conferenceId=0", ""); strings.TrimSpace(r.Body.String()) != `{"items":[]}` {
			t.Errorf("of nobody: %s", r.Body)
		}
		b.refused("422 bad_payload", "GET", "/explain?conferenceId=42", "")
		b.refused("422 bad_payload", "GET", "/explain?userId=7&from=-1", "")
		b.refused("422 bad_payload", "GET", "/explain?userId=7&from=5&to=4", "")
		b.refused("422 bad_id", "GET", "/explain?userId=undefined", "")
		b.refused("422 bad_id", "GET", "/explain?userId=7&conferenceId=a%20b", "")
	})
}
