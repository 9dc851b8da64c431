package conference

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/presence"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

func TestSharing(t *testing.T) {
	for section, want := range map[string]string{
		`{"isShare":"1","userId":"7"}`: "7", `{"isShare":1,"userId":7}`: "7", `{"isShare":true,"userId":9223372036854775807,"userName":3}`: "9223372036854775807",
		`{"isShare":"0","userId":"7"}`: "", `{"isShare":0,"userId":7}`: "", `{"isShare":"true","userId":"7"}`: "", `{"userId":"7"}`: "",
		`{"isShare":"1"}`: "", `{"isShare":"1","userId":null}`: "", `{"isShare":"1","userId":""}`: "", `{"isShare":"1","userId":[7]}`: "",
		`{"isShare":[1],"userId":"7"}`: "", `[]`: "", `"1"`: "", ``: "",
	} {
		if who, ok := sharing(json.RawMessage(section)); who.userID != want || ok != (want != "") {
			t.Errorf("%s: %q %v, want %q", section, who.userID, ok, want)
		}
	}
}

// share lets a user share with a session, "" for none.
func (b *built) share(t *testing.T, conferenceID, user, session string) {
	t.Helper()
	if err := b.Share(t.Context(), Share{ConferenceID: conferenceID, UserID: user, SessionID: session}); err != nil {
		t.Fatalf("share: %v", err)
	}
}

// shareEnds waits until the sharing of a user is over and expects the reason.
func (b *built) shareEnds(t *testing.T, conferenceID, user, reason string) {
	t.Helper()
	ended := func() (list []string) {
		for _, s := range b.told(t, conferenceID) {
			if len(s) > 18 && s[:18] == "screen_share.ended" {
				list = append(list, s[19:])
			}
		}
		return list
	}
	storetest.Eventually(t, func() bool { return len(ended()) > 0 }, "the sharing does not end")
	want := `{"reason":"` + reason + `","userId":"` + user + `","userName":""}`
	if list := ended(); len(list) != 1 || list[0] != want {
		t.Errorf("the backend is told %v, want %s", list, want)
	}
	if s := b.section(t, conferenceID, "sameScreen"); s != `{"isShare":"0","userId":"`+user+`","userName":""}` {
		t.Errorf("the section is %s", s)
	}
	if n := b.rows(t, "conference_shares", conferenceID); n != 0 {
		t.Error("the sharing is still watched")
	}
}

// goesOn expects that a user shares with a session and that nobody waits for anything.
func (b *built) goesOn(t *testing.T, conferenceID, session string) {
	t.Helper()
	storetest.Eventually(t, func() bool {
		var row shareRow
		err := b.DB.Read(t.Context(), func(_ context.Context, tx *gorm.DB) error {
			return tx.Where("conference_id = ?", conferenceID).Take(&row).Error
		})
		return err == nil && row.SessionID == session && row.DueAt == nil
	}, "the sharing does not belong to the session")
	if _, ok := sharing(json.RawMessage(b.section(t, conferenceID, "sameScreen"))); !ok {
		t.Errorf("nobody shares: %s", b.section(t, conferenceID, "sameScreen"))
	}
}

func TestShare(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b, ctx := build(t, db, nil), t.Context()
		anna, ben := b.arrive(t, "anna", "42"), b.arrive(t, "ben", "42")
		elsewhere := b.arrive(t, "anna", "43")
		b.patch(t, "42", `{"sameScreen":{"url":"rtmp://x","n":1.10}}`)
		for _, s := range []string{ben, elsewhere, "nobody"} {
			if err := b.Share(ctx, Share{ConferenceID: "42", UserID: "anna", SessionID: s}); !fault.Is(err, fault.Invalid) {
				t.Errorf("with a session that is not hers there: %v", err)
			}
		}
		b.share(t, "42", "anna", anna)
		b.shows(t, "42", "sameScreen", `{"isShare":"1","n":1.10,"url":"rtmp://x","userId":"anna","userName":""}`)
		if err := b.Share(ctx, Share{ConferenceID: "42", UserID: "ben", SessionID: ben}); !fault.Is(err, fault.Conflict) {
			t.Errorf("while somebody else shares: %v", err)
		}
		if err := b.EndShare(ctx, "42", "ben", ShareEnded); !fault.Is(err, fault.Conflict) {
			t.Errorf("ending somebody else's: %v", err)
		}
		second := b.arriveBy(t, "anna", "42", "app")
		b.share(t, "42", "anna", second)
		b.goesOn(t, "42", second)
		if err := b.EndShare(ctx, "42", "anna", ShareEnded); err != nil {
			t.Fatal(err)
		}
		b.shows(t, "42", "sameScreen", `{"isShare":"0","n":1.10,"url":"rtmp://x","userId":"anna","userName":""}`)
		if err := b.EndShare(ctx, "42", "anna", ShareEnded); err != nil {
			t.Errorf("ending it again: %v", err)
		}
		b.share(t, "42", "ben", ben)
		if err := b.EndShare(ctx, "42", "", EndedByBackend); err != nil {
			t.Fatal(err)
		}
		var ended []string
		for _, s := range b.told(t, "42") {
			if s[:8] != "presence" {
				ended = append(ended, s)
			}
		}
		want := []string{`screen_share.ended {"reason":"ended","userId":"anna","userName":""}`, `screen_share.ended {"reason":"ended","userId":"ben","userName":""}`, `{"conferenceId":"42","userId":"anna","userName":""}`}
		if len(ended) != 3 || ended[0] != want[0] || ended[1] != want[1] || ended[2] != want[2] {
			t.Errorf("the backend is told %q, want %q", ended, want)
		}
		b.patch(t, "list", `{"sameScreen":[1]}`)
		if err := b.Share(ctx, Share{ConferenceID: "list", UserID: "anna"}); !fault.Is(err, fault.Conflict) {
			t.Errorf("into a list: %v", err)
		}
	})
}

// A sharing by a socket lives as long as the socket, the grace, or another socket of the same kind.
func TestShareFollowsItsSocket(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := build(t, db, func(c *Config) { c.PollInterval = 20 * grace })
		session := b.arrive(t, "anna", "lost")
		b.share(t, "lost", "anna", session)
		b.arriveBy(t, "anna", "lost", "app") // another kind does not carry it on
		b.Leave(session, presence.Lost)
		b.shareEnds(t, "lost", "anna", "lost")

		session = b.arrive(t, "anna", "left")
		b.share(t, "left", "anna", session)
		b.arriveBy(t, "anna", "left", "app")
		b.Leave(session, presence.Left)
		b.shareEnds(t, "left", "anna", "left")

		session = b.arrive(t, "anna", "kicked")
		b.share(t, "kicked", "anna", session)
		if _, err := b.presence.CloseUsers(t.Context(), []string{"anna"}, "kicked"); err != nil {
			t.Fatal(err)
		}
		b.shareEnds(t, "kicked", "anna", "kicked")

		session = b.arrive(t, "anna", "back")
		b.share(t, "back", "anna", session)
		b.Leave(session, presence.Lost)
		back := b.arrive(t, "anna", "back")
		b.goesOn(t, "back", back)
		b.Leave(back, presence.Lost) // and the grace begins anew
		again := b.arrive(t, "anna", "back")
		b.goesOn(t, "back", again)

		one, two := b.arrive(t, "anna", "tabs"), b.arrive(t, "anna", "tabs")
		b.share(t, "tabs", "anna", one)
		b.Leave(one, presence.Left)
		b.goesOn(t, "tabs", two)
	})
}

// A sharing without a socket, by REST or by what a backend wrote, ends when its user goes offline.
func TestShareWithoutSocket(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := build(t, db, nil)
		one, two := b.arrive(t, "anna", "rest"), b.arrive(t, "anna", "rest")
		b.share(t, "rest", "anna", "")
		b.Leave(one, presence.Left)
		b.goesOn(t, "rest", "")
		b.Leave(two, presence.Lost)
		b.shareEnds(t, "rest", "anna", "offline")

		session := b.arrive(t, "7", "tree")
		b.patch(t, "tree", `{"sameScreen":{"isShare":true,"userId":7}}`)
		b.Leave(session, presence.Left)
		storetest.Eventually(t, func() bool { return b.section(t, "tree", "sameScreen") == `{"isShare":"0","userId":7}` }, "a sharing that the backend wrote does not end")

		session = b.arrive(t, "anna", "taken") // the backend gives the screen to somebody else
		b.share(t, "taken", "anna", session)
		b.patch(t, "taken", `{"sameScreen":{"userId":"ben"}}`)
		if n := b.rows(t, "conference_shares", "taken"); n != 0 {
			t.Error("who was replaced is still watched")
		}
		b.Leave(session, presence.Left)
		storetest.Eventually(t, func() bool {
			who, err := b.presence.StateOf(t.Context(), [][2]string{{"taken", "anna"}})
			return err == nil && who[[2]string{"taken", "anna"}].State == presence.Offline
		}, "she does not go")
		if who, ok := sharing(json.RawMessage(b.section(t, "taken", "sameScreen"))); !ok || who.userID != "ben" {
			t.Errorf("the screen of the other one: %s", b.section(t, "taken", "sameScreen"))
		}
	})
}

// A process that died while somebody shared comes back, finds his session, and ends the sharing after the grace. So
// it does with a session that was closed and nobody heard of.
func TestShareSurvivesDeath(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ghost := func(session, conf, closed string) {
			for _, q := range []string{
				`INSERT INTO presence_sessions (id, conference_id, user_id, client_type, node_id, epoch, opened_at, closed_at, reason) VALUES ('` + session + `', '` + conf + `', 'anna', 'web', 'ghost', 1, 1, ` + closed + `)`,
				`INSERT INTO presence (conference_id, user_id, state, since, arrived_at) VALUES ('` + conf + `', 'anna', 'online', 1, 1)`,
				`INSERT INTO conference_shares (conference_id, user_id, session_id, client_type) VALUES ('` + conf + `', 'anna', '` + session + `', 'web')`,
				`INSERT INTO conference_nodes (conference_id, same_screen) VALUES ('` + conf + `', '{"isShare":"1","userId":"anna","userName":""}')`,
			} {
				if _, err := db.SQL().Exec(q); err != nil {
					t.Fatal(err)
				}
			}
		}
		ghost("s1", "dead", "NULL, ''")
		ghost("s2", "unheard", "5, 'lost'")
		ghost("s3", "gone", "5, 'left'")
		if _, err := db.SQL().Exec("DELETE FROM presence_sessions WHERE id = 's3'"); err != nil { // trimmed
			t.Fatal(err)
		}
		b := build(t, db, nil)
		b.shareEnds(t, "dead", "anna", "node_lost")
		b.shareEnds(t, "unheard", "anna", "lost")
		b.shareEnds(t, "gone", "anna", "lost")
	})
}

// A restart in the middle of the grace: the new process knows who was to be looked after.
func TestShareSurvivesRestart(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := build(t, db, func(c *Config) { c.Grace = 20 * grace })
		session := b.arrive(t, "anna", "42")
		b.arriveBy(t, "anna", "42", "app")
		b.share(t, "42", "anna", session)
		b.Leave(session, presence.Lost)
		storetest.Eventually(t, func() bool {
			var n int64
			err := db.Read(t.Context(), func(_ context.Context, tx *gorm.DB) error {
				return tx.Table("conference_shares").Where("due_at IS NOT NULL").Count(&n).Error
			})
			return err == nil && n == 1
		}, "nobody noted that the presenter went")
		b.stop()
		if _, ok := sharing(json.RawMessage(b.section(t, "42", "sameScreen"))); !ok {
			t.Fatal("the sharing ended before its grace")
		}
		b.again(t).shareEnds(t, "42", "anna", "lost")
	})
}

// The end of a conference ends the sharing in it, before the tree freezes, and so does its deletion. It used to leave
// isShare at "1" for ever, and the backend was never told.
func TestShareEndsWithItsConference(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b, yes, no := build(t, db, nil), true, false
		session := b.arrive(t, "anna", "42")
		b.share(t, "42", "anna", session)
		if _, err := b.Register(t.Context(), "42", Registration{Ended: &yes}); err != nil {
			t.Fatal(err)
		}
		b.shareEnds(t, "42", "anna", "ended")
		want := []string{`presence.online {"online":1,"userId":"anna","userName":""}`, `screen_share.ended {"reason":"ended","userId":"anna","userName":""}`, `conference.ended {}`, `{"conferenceId":"42","userId":"anna","userName":""}`}
		if got := b.told(t, "42"); !slices.Equal(got, want) {
			t.Errorf("the backend is told\n%q, want\n%q", got, want)
		}
		if _, err := b.Register(t.Context(), "42", Registration{Ended: &no}); err != nil {
			t.Fatal(err)
		}
		b.share(t, "42", "anna", session) // it lives again, and so may she
		if err := b.Remove(t.Context(), "42"); err != nil {
			t.Fatal(err)
		}
		if got := b.told(t, "42"); !slices.Contains(got[3:], want[1]) {
			t.Errorf("after the deletion the backend is told %q", got)
		}
		if s := b.section(t, "42", "sameScreen"); s != "" || b.rows(t, "conference_shares", "42") != 0 {
			t.Errorf("of a deleted conference is left %s", s)
		}
		if _, err := b.Register(t.Context(), "43", Registration{Ended: &yes}); err != nil {
			t.Fatal(err)
		}
		if err := b.Remove(t.Context(), "43"); err != nil {
			t.Errorf("deleting a conference that is over: %v", err)
		}
	})
}
