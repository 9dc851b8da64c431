package rest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/fault"
	"rollcall/internal/rawjson"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// inside returns the trial for one run of a fuzz target.
func (r *trial) inside(t *testing.T) *trial {
	b := *r.b
	b.t = t
	b.hall.mu.Lock()
	b.hall.told = nil // else a long run fills the memory
	b.hall.mu.Unlock()
	return &trial{b: &b, f: r.f, posted: r.posted}
}

// Whatever stands in path, query and body of any operation, the answer is one of those in the document, and what the document
// forbids is not taken.
func FuzzBody(f *testing.F) {
	shared := newTrial(open(f, storetest.Open(f, store.SQLite)), 1)
	calls := shared.f.calls
	for i, c := range calls {
		p := &pen{forge: shared.f, Rand: rand.New(rand.NewPCG(1, uint64(i)))}
		body := ""
		if c.RequestBody != nil {
			body = p.value("", c.RequestBody.Content["application/json"].Schema)
		}
		f.Add(uint(i), "42/1", p.query(c), []byte(body))
	}
	for i, v := range nastyValues {
		f.Add(uint(i), "1/topicInfo", "", []byte(v))
	}
	for i, s := range nastyTexts {
		f.Add(uint(i), s+"/"+s, "limit="+url.QueryEscape(s)+"&q="+s, []byte(quote(s)))
	}
	f.Fuzz(func(t *testing.T, which uint, ids, query string, body []byte) {
		r := shared.inside(t)
		c := calls[which%uint(len(calls))]
		q := request{call: c, method: c.method, target: c.path, body: string(body), broken: true}
		values := strings.Split(ids, "/")
		for i, part := range slices.DeleteFunc(strings.Split(c.path, "/"), func(s string) bool { return !strings.HasPrefix(s, "{") }) {
			q.target = strings.Replace(q.target, part, url.PathEscape(values[i%len(values)]), 1)
		}
		if query != "" {
			q.target += "?" + query
		}
		if _, err := url.ParseRequestURI(q.target); err != nil || strings.ContainsAny(query, " \r\n\x00#") {
			return // no request line has it
		}
		if _, got, wrong := r.ask(q, r.direct); len(wrong) > 0 {
			t.Errorf("%v\n%s\n%d %.600q", q, strings.Join(wrong, "\n"), got.status, got.body)
		}
	})
}

// Whatever is sent as a cursor, every list refuses it or goes on from somewhere to its end.
func FuzzCursor(f *testing.F) {
	shared := newTrial(open(f, storetest.Open(f, store.SQLite)), 1)
	targets := shared.lists()
	for i, s := range append(storetest.Cursors(), nastyTexts...) {
		f.Add(uint(i), s)
		f.Add(uint(i+3), s)
	}
	for i := range targets {
		f.Add(uint(i), "")
	}
	f.Fuzz(func(t *testing.T, which uint, cursor string) {
		r := shared.inside(t)
		target := targets[which%uint(len(targets))]
		n := storetest.FromCursor(t, cursor, func(cursor string) ([]string, string, error) { return r.page(target, cursor) })
		if cursor == "" && n < 3 {
			t.Errorf("%s has %d items: too few to turn pages", target.path, n)
		}
	})
}

// lists makes something for each list to hold and returns the calls that have a cursor.
func (r *trial) lists() (list []*call) {
	b := r.b
	b.must(201, "PUT", "/conferences/42/members", `{"members":[{"userId":1},{"userId":2},{"userId":"張"},{"userId":9}]}`)
	for i := range 5 {
		b.must(201, "PUT", "/conferences/c"+itoa(i), "")
		b.arrive(itoa(i), "User")
		r.posted = b.must(202, "POST", "/notices", `{"to":{"users":[1,2,"張"]}}`).fields["id"].(string)
	}
	for _, c := range r.f.calls {
		if slices.ContainsFunc(c.Parameters, func(p parameter) bool { return p.Name == "cursor" }) {
			list = append(list, c)
		}
	}
	return list
}

// page reads two items of a list.
func (r *trial) page(c *call, cursor string) (ids []string, next string, err error) {
	id := "1"
	switch kindOfPath(c.path) {
	case "conference":
		id = "42"
	case "notice":
		id = r.posted
	}
	q := request{call: c, method: c.method, target: strings.Replace(c.path, "{id}", id, 1) + "?limit=2", broken: true}
	if cursor != "" {
		q.target += "&cursor=" + url.QueryEscape(cursor)
	}
	_, got, wrong := r.ask(q, r.direct)
	if len(wrong) > 0 {
		r.b.t.Errorf("%v\n%s\n%d %.600q", q, strings.Join(wrong, "\n"), got.status, got.body)
	}
	if got.status == http.StatusUnprocessableEntity { // too long, no UTF-8, or no cursor
		return nil, "", fault.New(fault.Invalid, "bad_cursor", string(got.body))
	}
	var list struct {
		Items []struct{ ID, UserID string }
		Next  string
	}
	if err := json.Unmarshal(got.body, &list); err != nil || !got.good() {
		return nil, "", fmt.Errorf("%d %.300q: %w", got.status, got.body, err)
	}
	for _, item := range list.Items {
		ids = append(ids, item.ID+item.UserID)
	}
	return ids, list.Next, nil
}

// withoutNulls says of every document what encoding/json would make of it, and no name is there twice.
func FuzzWithoutNulls(f *testing.F) {
	for _, s := range append(nastyValues, ` { "a" : null , "b" : [ null , { "c" : null } ] , "data" : { "d" : null } } `, `{"a":1,"\u0061":null}`, `{"a":null,"a":{"b":1,"b":null}}`, `[{"a":null},null]`, `{"data":null}`, `"\"null\""`) {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		if rawjson.Check(doc, maxDepth) != nil {
			return
		}
		var want any = map[string]any{}
		if v, err := decoded(doc); err == nil && v != nil {
			want = sifted(v, "data")
		}
		out := withoutNulls(doc, maxDepth, "data")
		got, err := decoded(out)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%.300q became %.300q: %v", doc, out, err)
		}
		if again := withoutNulls(out, maxDepth, "data"); string(again) != string(out) {
			t.Errorf("%.300q became %.300q and then %.300q", doc, out, again)
		}
	})
}

// sifted takes nulls out of objects the slow way.
func sifted(v any, sealed string) any {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if value == nil {
				delete(v, name)
			} else if name != sealed {
				v[name] = sifted(value, "")
			}
		}
	case []any:
		for i, item := range v {
			v[i] = sifted(item, "")
		}
	}
	return v
}
