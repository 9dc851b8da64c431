package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// The body of an event: what stands where, for an event with everything and for one with nothing.
func TestBody(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, Endpoint{URL: "http://backend.example/hook"})
		events := []Event{
			{Type: "presence.offline", ConferenceID: "会-1", At: 1700000000007, Data: map[string]any{"userId": "7", "name": "<a&b>", "seq": 99, "at": "x", "conferenceId": "other"}},
			{Type: "client.event", At: 1700000000000},
		}
		if err := n.Append(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		want := []string{
			`{"type":"client.event","timestamp":"2023-11-14T22:13:20.000Z","data":{"seq":1,"at":1700000000000}}`,
			`{"type":"presence.offline","timestamp":"2023-11-14T22:13:20.007Z","data":{"conferenceId":"会-1","seq":1,"at":1700000000007,"name":"<a&b>","userId":"7"}}`,
		}
		var got []string
		for _, r := range rows(t, db) {
			got = append(got, r.Body)
			if !json.Valid([]byte(r.Body)) || r.State != pending || r.CreatedAt == 0 || r.URL != "http://backend.example/hook" {
				t.Errorf("row %+v", r)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("bodies\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// Each endpoint gets the types it asked for, a plain one only what has a plain body, and that as it is. Numbers are per
// endpoint and conference.
func TestWhoIsTold(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, Endpoint{URL: "http://all.example"}, Endpoint{URL: "http://star.example", Events: []string{"*"}},
			Endpoint{URL: "http://some.example", Events: []string{"sign_in", "timer.finished"}}, Endpoint{URL: "http://all.example", Plain: true})
		for range 2 {
			err := n.Append(t.Context(), []Event{{Type: "sign_in", ConferenceID: "1"}, {Type: "screen_share.ended", ConferenceID: "1", Plain: json.RawMessage(` {"old" : 1} `)}, {Type: "sign_in", ConferenceID: "2"}})
			if err != nil {
				t.Fatal(err)
			}
		}
		got := map[string][]string{}
		for _, r := range rows(t, db) {
			i := n.byKey[r.Endpoint].index
			name := fmt.Sprint(i, "/", r.ConferenceID)
			got[name] = append(got[name], fmt.Sprint(r.Seq, r.Type))
			if plain := i == 3; plain != (r.Body == ` {"old" : 1} `) {
				t.Errorf("endpoint %d is told %s", i, r.Body)
			}
		}
		want := map[string][]string{"2/1": {"1sign_in", "2sign_in"}, "2/2": {"1sign_in", "2sign_in"}, "3/1": {"1screen_share.ended", "2screen_share.ended"}}
		for _, all := range []string{"0", "1"} {
			want[all+"/1"] = []string{"1sign_in", "2screen_share.ended", "3sign_in", "4screen_share.ended"}
			want[all+"/2"] = []string{"1sign_in", "2sign_in"}
		}
		for name, list := range want {
			if !slices.Equal(got[name], list) {
				t.Errorf("endpoint and conference %s: %v, want %v", name, got[name], list)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d lanes, want %d", len(got), len(want))
		}
	})
}

// Nobody who wants the event: the database is not even asked, and may as well be closed.
func TestAppendForNobody(t *testing.T) {
	db, err := store.Open(t.Context(), storetest.DSN(t, store.SQLite))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	var none *Outbox
	for _, o := range []*Outbox{none, newNode(t, db).Outbox, newNode(t, db, Endpoint{URL: "http://x.example", Events: []string{"sign_in"}}, Endpoint{URL: "http://y.example", Plain: true}).Outbox} {
		if err := o.Append(t.Context(), []Event{{Type: "presence.online", ConferenceID: "1"}}); err != nil {
			t.Errorf("append: %v", err)
		}
	}
	if items, next, err := none.List(t.Context(), "", "", 0); len(items) != 0 || next != "" || err != nil {
		t.Errorf("list of nothing: %v %q %v", items, next, err)
	}
	if err := none.Replay(t.Context(), "01ARZ3NDEKTSV4RRFFQ69G5FAV"); !fault.Is(err, fault.NotFound) {
		t.Errorf("replay of nothing: %v", err)
	}
}

// What cannot be sent is an error, and none of its companions is written.
func TestAppendRefuses(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, Endpoint{URL: "http://x.example"}, Endpoint{URL: "http://y.example", Plain: true})
		for name, bad := range map[string]Event{
			"no type":            {},
			"long type":          {Type: strings.Repeat("x", 33)},
			"bad conference":     {Type: "t", ConferenceID: "a\"b"},
			"not JSON":           {Type: "t", Data: map[string]any{"x": make(chan int)}},
			"broken plain":       {Type: "t", Plain: json.RawMessage(`{`)},
			"plain of bad UTF-8": {Type: "t", Plain: json.RawMessage("\"\xff\"")},
			"too large":          {Type: "t", Data: map[string]any{"x": strings.Repeat("x", maxBody)}},
			"too large plain":    {Type: "t", Plain: json.RawMessage(`"` + strings.Repeat("x", maxBody) + `"`)},
		} {
			if err := n.Append(t.Context(), []Event{{Type: "good", ConferenceID: "1"}, bad}); err == nil {
				t.Errorf("%s was taken", name)
			}
		}
		if got := rows(t, db); len(got) != 0 {
			t.Errorf("%d rows", len(got))
		}
		// Text of any kind is no reason to fail.
		n.append(t, "1", map[string]any{"text": "\x00\xff\u2028'\\\"😀"})
		if got := rows(t, db); len(got) != 1 || !json.Valid([]byte(got[0].Body)) {
			t.Errorf("rows %+v", got)
		}
	})
}

// A fact that is rolled back leaves no event and no gap, also when it appended twice.
func TestRollback(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, Endpoint{URL: "http://x.example"})
		n.append(t, "1", nil)
		changed := errors.New("changed my mind")
		for _, end := range []error{changed, nil, changed} {
			err := db.Write(t.Context(), func(ctx context.Context, _ *gorm.DB) error {
				for range 2 {
					if err := n.Append(ctx, []Event{{Type: "sign_in", ConferenceID: "1"}, {Type: "sign_in", ConferenceID: "2"}}); err != nil {
						return err
					}
				}
				return end
			})
			if !errors.Is(err, end) {
				t.Fatal(err)
			}
		}
		n.append(t, "1", nil)
		var got []string
		for _, r := range rows(t, db) {
			got = append(got, fmt.Sprint(r.ConferenceID, ":", r.Seq))
		}
		if want := []string{"1:1", "1:2", "1:3", "1:4", "2:1", "2:2"}; !slices.Equal(got, want) {
			t.Errorf("numbers %v, want %v", got, want)
		}
	})
}

// Eight at once, each with events in several conferences: no number is missing or given twice, and what one caller said
// first comes first.
func TestParallelAppends(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, Endpoint{URL: "http://x.example"}, Endpoint{URL: "http://y.example"})
		var callers sync.WaitGroup
		for caller := range 8 {
			callers.Go(func() {
				for i := range 10 {
					events := make([]Event, 0, 3)
					for c := range 3 {
						events = append(events, Event{Type: "sign_in", ConferenceID: fmt.Sprint((c + caller) % 4), Data: map[string]any{"caller": caller, "i": i}})
					}
					if err := n.Append(t.Context(), events); err != nil {
						t.Error(err)
					}
				}
			})
		}
		callers.Wait()
		next, said := map[lane]int64{}, map[string]int{}
		all := rows(t, db)
		for _, r := range all {
			l := lane{r.Endpoint, r.ConferenceID}
			if next[l]++; r.Seq != next[l] {
				t.Fatalf("number %d comes after %d", r.Seq, next[l]-1)
			}
			var body struct{ Data struct{ Caller, I int } }
			if err := json.Unmarshal([]byte(r.Body), &body); err != nil {
				t.Fatal(err)
			}
			name := fmt.Sprint(l, body.Data.Caller)
			if body.Data.I < said[name] {
				t.Errorf("%s: %d comes after %d", name, body.Data.I, said[name])
			}
			said[name] = body.Data.I
		}
		if len(all) != 2*8*10*3 {
			t.Errorf("%d rows", len(all))
		}
	})
}

// An error of New says which endpoint, and never what its secret is.
func TestNewRefuses(t *testing.T) {
	good := Endpoint{URL: "https://x.example/hook?token=hush", Secret: testSecret}
	for name, bad := range map[string]Endpoint{
		"no URL": {}, "no scheme": {URL: "x.example"}, "other scheme": {URL: "ftp://u:hush@x.example"}, "no host": {URL: "http:///hush"}, "control": {URL: "http://hush\x00"},
		"no prefix": {URL: "http://y.example", Secret: "hush"}, "not base64": {URL: "http://y.example", Secret: "whsec_hush!"}, "empty secret": {URL: "http://y.example", Secret: "whsec_"},
		"twice": good,
	} {
		_, err := New(Config{Endpoints: []Endpoint{good, bad}})
		if err == nil || !strings.Contains(err.Error(), "endpoint 1") || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
