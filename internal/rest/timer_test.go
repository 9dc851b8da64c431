package rest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/internal/conference"
	"rollcall/internal/id"
	"rollcall/internal/presence"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// TestTimer: every command has its answer, and what does not fit is refused and changes nothing.
func TestTimer(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		const path = "/conferences/42/timer"
		b.must(200, "PATCH", "/conferences/42/tree", `{"timer":{"n":1.10}}`)
		r := b.must(200, "POST", path, `{"action":"start","durationMs":600000}`)
		timer := r.fields["timer"].(map[string]any)
		if r.fields["conferenceId"] != "42" || timer["state"] != "running" || timer["endsAt"] == nil || !strings.Contains(r.Body.String(), `"n":1.10`) {
			t.Errorf("start: %s", r.Body)
		}
		version := r.fields["version"].(float64)
		b.refused("409 conflict", "POST", path, `{"action":"start","durationMs":600000}`)
		b.refused("409 conflict", "POST", path, `{"action":"resume"}`)
		for _, body := range []string{`{}`, `{"action":"stop"}`, `{"action":null}`, `{"action":1}`, `{"action":"extend"}`, `{"action":"extend","durationMs":0}`, `{"action":"extend","durationMs":-5}`,
			`{"action":"extend","durationMs":604800001}`, `{"action":"extend","durationMs":1.5}`, `{"action":"extend","durationMs":"9"}`, `{"action":"pause","more":1}`} {
			b.refused("422 bad_payload", "POST", path, body)
		}
		if r = b.must(200, "GET", "/conferences/42/tree", ""); r.fields["version"] != version {
			t.Errorf("what was refused left version %v, want %v", r.fields["version"], version)
		}
		b.must(200, "POST", path, `{"action":"extend","durationMs":600000}`)
		b.must(200, "POST", path, `{"action":"pause"}`)
		b.must(200, "POST", path, `{"action":"resume"}`)
		if r = b.must(200, "POST", path, `{"action":"reset","durationMs":null}`); r.fields["timer"].(map[string]any)["remainingMs"] != 1200000.0 {
			t.Errorf("reset: %s", r.Body)
		}
		if rows := b.logged("audit"); len(rows) != 6 {
			t.Errorf("%d rows about 6 changes", len(rows))
		}
		b.must(200, "POST", path, `{"action":"start","durationMs":1}`)
		storetest.Eventually(t, func() bool { return b.hall.heard("timer_finished 42") == 1 }, "the timer does not finish")
		b.must(201, "PUT", "/conferences/42", `{"ended":true}`)
		b.refused("409 conference_ended", "POST", path, `{"action":"reset"}`)
	})
}

// TestTimerAgain: a command that is repeated with its key is done once.
func TestTimerAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		first := b.must(200, "POST", "/conferences/42/timer", `{"action":"start","durationMs":600000}`, "Idempotency-Key", "k")
		again := b.must(200, "POST", "/conferences/42/timer", `{"action":"start","durationMs":600000}`, "Idempotency-Key", "k")
		if first.Body.String() != again.Body.String() {
			t.Errorf("%s and then %s", first.Body, again.Body)
		}
	})
}

// TestSignIn: the first time counts.
func TestSignIn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		const path = "/conferences/42/sign-in"
		first := b.must(200, "POST", path, `{"userId":9223372036854775807}`)
		again := b.must(200, "POST", path, `{"userId":"9223372036854775807"}`, "Idempotency-Key", "k")
		if first.fields["signedAt"] != again.fields["signedAt"] || first.fields["userId"] != "9223372036854775807" || first.fields["signedAt"].(float64) < float64(time.Now().Add(-time.Hour).UnixMilli()) {
			t.Errorf("%s and then %s", first.Body, again.Body)
		}
		for body, want := range map[string]string{`{}`: "422 bad_payload", `{"userId":null}`: "422 bad_payload", `{"userId":""}`: "422 bad_id", `{"userId":"a b"}`: "422 bad_id", `{"userId":1.5}`: "422 bad_payload", `{"userId":7,"more":1}`: "422 bad_payload"} {
			b.refused(want, "POST", path, body)
		}
		b.must(200, "PUT", "/conferences/43/tree/signInData", `[1]`)
		b.refused("409 conflict", "POST", "/conferences/43/sign-in", `{"userId":7}`)
		b.must(201, "PUT", "/conferences/44", `{"ended":true}`)
		b.refused("409 conference_ended", "POST", "/conferences/44/sign-in", `{"userId":7}`)
	})
}

// TestSameScreen: one shares at a time.
func TestSameScreen(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		const path = "/conferences/42/same-screen"
		session := id.New()
		if _, err := b.House.Arrive(t.Context(), presence.Session{ID: session, ConferenceID: "42", UserID: "7", ClientType: "web", OpenedAt: time.Now()}, conference.Free); err != nil {
			t.Fatal(err)
		}
		for _, body := range []string{`{}`, `{"action":"start"}`, `{"action":"pause","userId":7}`, `{"action":"start","userId":"7","sessionId":"none"}`,
			fmt.Sprintf(`{"action":"start","userId":"8","sessionId":%q}`, session), fmt.Sprintf(`{"action":"end","userId":"7","sessionId":%q}`, session)} {
			if r := b.do("POST", prefix+path, body); r.Code != 422 {
				t.Errorf("%s: %d %s", body, r.Code, r.Body)
			}
		}
		b.must(200, "POST", path, `{"action":"end"}`)
		r := b.must(200, "POST", path, fmt.Sprintf(`{"action":"start","userId":7,"sessionId":%q}`, session))
		if r.fields["conferenceId"] != "42" || r.fields["version"] == nil {
			t.Errorf("start: %s", r.Body)
		}
		b.refused("409 conflict", "POST", path, `{"action":"start","userId":8}`)
		b.refused("409 conflict", "POST", path, `{"action":"end","userId":8}`)
		b.must(200, "POST", path, `{"action":"end","userId":7}`)
		tree := b.must(200, "GET", "/conferences/42/tree", "")
		if s := tree.fields["sameScreen"].(map[string]any); s["isShare"] != "0" || s["userId"] != "7" {
			t.Errorf("after the end: %s", tree.Body)
		}
		b.must(200, "PUT", "/conferences/42", `{"ended":true}`)
		b.refused("409 conference_ended", "POST", path, `{"action":"start","userId":8}`)
	})
}
