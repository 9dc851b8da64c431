package system_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"rollcall/internal/storetest"
)

// payload is a text that does harm where somebody takes it for more than a text.
type payload struct {
	name, text string
	runs       bool // in a browser, when it is put into a page as it is
}

const forged = "forged-line" // a line of a log that says this was made by a user

// payloads are for every place where somebody could be careless. Those for browsers call the beacon and change the title.
func payloads(beacon string) []payload {
	script := `document.title='ran';new Image().src='` + beacon + `'`
	host := strings.TrimPrefix(beacon, "http://")
	list := []payload{
		{"script", "<script>" + script + "</script>", true},
		{"script behind whatever is open", `--></pre></title></textarea></style></script>"'><script>` + script + "</script>", true},
		{"image", `<img src=x onerror="` + script + `">`, true},
		{"svg", `<svg/onload="` + script + `">`, true},
		{"frame", `<iframe srcdoc="<script>parent.document.title='ran'</script>"></iframe>`, true},
		{"attribute", `" autofocus onfocus="` + script, false},
		{"address", "javascript:" + script, false},
		{"template", `{{constructor.constructor("` + script + `")()}}${` + script + `}<%= 7*7 %>#{7*7}`, false},
		{"lookup", "${jndi:ldap://" + host + "/a}${env:PATH}", false},
		{"entity", `<!DOCTYPE x [<!ENTITY e SYSTEM "` + beacon + `">]><x>&e;</x>`, false},
		{"SQL", `'; DROP TABLE users; DELETE FROM notices WHERE '1'='1' -- `, false},
		{"SQL in the other quotes", `" OR ""="\` + "`" + ` OR 1=1 /* `, false},
		{"pattern", `%_\%[a-z]*' ESCAPE '\`, false},
		{"format", "%s%n%d%!s(MISSING){0}", false},
		{"path", "../../../etc/passwd%00%2e%2e%2f", false},
		{"prototype", "__proto__", false},
		{"log line of text", "x\r\ntime=2026-01-01T00:00:00Z level=ERROR msg=" + forged, false},
		{"log line of JSON", `"}` + "\n" + `{"time":"2026-01-01T00:00:00Z","level":"ERROR","msg":"` + forged + `"}`, false},
		{"terminal", "\x1b[2J\x1b[31mred\x1b]0;title\x07\x1b]8;;" + beacon + "\x1b\\", false},
		{"terminal in one byte", "\u009b2J\u009d0;title\u009c\u0085\u007f\b\b", false},
		{"direction", "\u202egpj.exe\u2066\u2069\u200f", false},
		{"no width", "a\u200bd\u2060m\ufeffin\u00ad\u2028\u2029", false},
		{"NUL", "a\x00b", false},
		{"emoji", "👩‍👩‍👧\U000e0041é\u0301中", false},
		{"long", strings.Repeat("<b>'=long", 6000), false},
	}
	for _, formula := range []string{"=cmd|' /C calc'!A0", "=HYPERLINK(\"" + beacon + "\",\"x\")", "+1+1", "-1+1", "@SUM(1)", "\t=1+1", "\r=1+1", "\n=1+1", "\"=1+1", ",=1+1\r\n=1+1", "'it''s"} {
		list = append(list, payload{fmt.Sprintf("formula %.6q", formula), formula, false})
	}
	return list
}

// short is as much of the payload as fields with few characters take.
func (p payload) short(most int) string {
	if r := []rune(p.text); len(r) > most {
		return string(r[:most])
	}
	return p.text
}

// raw is the payload as JSON that hides nothing of it: a careful program writes <, this one does not.
func raw(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v)
	return strings.TrimSpace(b.String())
}

// carried counts the texts in a JSON document that are exactly as wanted.
func carried(doc []byte, want string) (n int) {
	var v any
	if json.Unmarshal(doc, &v) != nil {
		return -1
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			if v == want {
				n++
			}
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			for _, item := range v {
				walk(item)
			}
		}
	}
	walk(v)
	return n
}

// feed sends payloads into a server by every way that texts take.
type feed struct {
	*server
	backend *ears
	fields  atomic.Int64 // into which a payload went and out of which it was read again
	harmed  atomic.Int64
	ran     atomic.Int64 // payloads in the browser
	armed   atomic.Int64 // cells that a spreadsheet would run
}

// reads compares what comes back with what was sent: in n places.
func (f *feed) reads(where string, doc []byte, want string, n int) {
	f.t.Helper()
	f.fields.Add(int64(n))
	if got := carried(doc, want); got != n {
		f.harmed.Add(1)
		f.t.Errorf("%s: the text is there %d times, want %d: sent %.80q, got %.400q", where, got, n, want, doc)
	}
}

// put sends a request that carries the payload; it must be taken, or for a NUL refused with a reason.
func (f *feed) put(p payload, method, path, body string) (taken bool) {
	f.t.Helper()
	var answer string
	status, h := f.call(method, path, body, &answer, "User-Agent", headerSafe(p.text), "X-Forwarded-For", headerSafe(p.text), "Referer", headerSafe(p.text))
	if status < 300 {
		return true
	}
	if !strings.Contains(p.text, "\x00") || status != http.StatusUnprocessableEntity || h.Get("Content-Type") != "application/problem+json" {
		f.harmed.Add(1)
		f.t.Errorf("%s: %s %s answered %d %.300s", p.name, method, path, status, answer)
	}
	return false
}

func (f *feed) get(path string) []byte {
	f.t.Helper()
	var text string
	if status, _ := f.call("GET", path, nil, &text); status != http.StatusOK {
		f.t.Errorf("GET %s answered %d %.300s", path, status, text)
	}
	return []byte(text)
}

// headerSafe takes out what no HTTP client lets into a header.
func headerSafe(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), 2000)]
}

// conference sends a payload into everything that a backend writes about a conference and the people in it.
func (f *feed) conference(p payload, room, user string) {
	name, at := p.short(255), "/api/v1/conferences/"+room
	if f.put(p, "PUT", at, raw(map[string]any{"title": name, "status": p.short(60)})) {
		f.reads(p.name+" as title", f.get(at), name, 1)
	}
	if f.put(p, "PUT", at+"/members", raw(map[string]any{"members": []any{map[string]any{"userId": user, "name": name, "attrs": map[string]any{"k": p.text, p.short(50): 1}}}})) {
		f.reads(p.name+" of a member", f.get(at+"/members"), name, 1+same(name, p.text))
		f.reads(p.name+" among attrs", f.get(at+"/members"), p.text, 1+same(name, p.text))
	}
	if len(p.text) < 30_000 { // all of a tree is at most 256 KiB
		sections := map[string]any{}
		for _, name := range []string{"conferenceInfo", "topicInfo", "countersignData", "timer", "sameScreen", "headData", "signInData"} {
			sections[name] = map[string]any{"k": p.text, p.short(50): map[string]any{"deep": []any{p.text}}}
		}
		if f.put(p, "PATCH", at+"/tree", raw(sections)) {
			f.reads(p.name+" in a tree", f.get(at+"/tree"), p.text, 2*len(sections)+same(p.short(60), p.text))
		}
	}
	if f.put(p, "PUT", at+"/tree/topicInfo", raw(map[string]any{"k": p.text})) {
		doc := f.get(at + "/tree")
		if !bytes.Contains(doc, []byte(raw(p.text))) && !strings.Contains(p.text, "<") {
			f.t.Errorf("%s: the bytes of a section are others: %.300s", p.name, doc)
		}
	}
}

func same(a, b string) int {
	if a == b {
		return 1
	}
	return 0
}

// notices sends a payload into everything that is said to somebody, who is there, and reads it where it was received and where
// it is kept.
func (f *feed) notices(p payload, user string, w *wire) {
	title, kind := p.short(255), p.short(64)
	var sent struct{ ID string }
	said := map[string]any{"to": map[string]any{"users": []string{user}}, "title": title, "body": p.short(20_000), "data": map[string]any{"k": p.text}, "label": title, "sendType": kind, "event": "notice"}
	if len(p.text) > 20_000 {
		said["data"] = p.short(20_000)
	}
	if f.put(p, "POST", "/api/v1/notices", raw(said)) {
		got := w.hears(f.t, "notice", p.name)
		f.reads(p.name+" in a notice", got, p.short(20_000), 2+same(title, p.short(20_000)))
		_ = json.Unmarshal(got, &sent)
		row := f.get("/api/v1/notices/" + sent.ID)
		f.reads(p.name+" as label", []byte(raw(memberOf(row, "label"))), title, 1)
		f.reads(p.name+" as sendType", []byte(raw(memberOf(row, "sendType"))), kind, 1)
		f.reads(p.name+" in the log", []byte(raw(memberOf(row, "message"))), p.short(20_000), 2+same(title, p.short(20_000)))
		inbox := f.get("/api/v1/users/" + user + "/inbox?limit=1")
		f.reads(p.name+" in the inbox", inbox, p.short(20_000), 2+same(title, p.short(20_000)))
		// What is looked for is a text, and no pattern.
		for _, query := range []string{"label=", "q="} {
			found := f.get("/api/v1/notices?event=notice&" + query + url.QueryEscape(title))
			if ids := memberOf(found, "items"); !strings.Contains(raw(ids), sent.ID) {
				f.t.Errorf("%s: not found by %s", p.name, query)
			}
		}
	}
	if f.put(p, "POST", "/api/v1/push", raw(map[string]any{"userIds": []string{user}, "destination": "custom", "message": map[string]any{"k": p.text}, "valueName": title, "sendType": kind})) {
		f.reads(p.name+" by push", w.hears(f.t, "custom", p.name), p.text, 1)
	}
	if f.put(p, "POST", "/api", raw(map[string]any{"tokens": []string{user}, "data": map[string]any{"k": p.text}, "entityType": p.text})) {
		f.reads(p.name+" by the gateway", w.hears(f.t, "receive_message", p.name), p.text, 2)
	}
	// A name of an event is no free text: it is taken or refused, and what is taken is what clients hear.
	status, _ := f.call("POST", "/api/v1/push", raw(map[string]any{"userIds": []string{user}, "destination": p.text, "message": 1}), nil)
	if status != http.StatusAccepted && status != http.StatusUnprocessableEntity {
		f.t.Errorf("%s as the name of an event: %d", p.name, status)
	}
}

// memberOf returns a member of a JSON object.
func memberOf(doc []byte, name string) any {
	var o map[string]any
	_ = json.Unmarshal(doc, &o)
	return o[name]
}

// hears waits for the next event of a name and returns its first argument.
func (w *wire) hears(t testing.TB, event, what string) json.RawMessage {
	t.Helper()
	var got json.RawMessage
	if !w.wait(10*time.Second, func() bool { got = w.last[event]; return got != nil }) {
		t.Errorf("%s: %s never came", what, event)
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.last, event)
	return got
}

// says emits an event with one argument.
func (w *wire) says(event string, arg any) {
	w.send("42" + raw([]any{event, arg}))
}

// sockets sends a payload by every event that takes texts.
func (f *feed) sockets(p payload, user string, w *wire) {
	if strings.Contains(p.text, "\x00") {
		return // json.Marshal writes it as an escape, which the tests of the door look at
	}
	text := p.short(20_000)
	w.says("chat message", text)
	f.reads(p.name+" as a chat line", w.hears(f.t, "chat message", p.name), text, 1)
	f.reads(p.name+" as a chat line that is kept", f.get("/api/v1/notices?event=chat%20message&senderId="+user), text, 1+same(p.short(255), text)) // with his name
	direct := map[string]any{"to": user, "body": map[string]any{"k": text}}
	if !strings.ContainsFunc(text, unicode.IsControl) { // which no number of a message may have
		direct["clientMsgId"] = p.short(64)
	}
	w.says("direct_message", direct)
	f.reads(p.name+" as a direct message", []byte(raw(memberOf(w.hears(f.t, "direct_message", p.name), "body"))), text, 1)
	w.says("todo", map[string]any{"receiver_id": user, "what": text, p.short(50): 1})
	f.reads(p.name+" as a todo", w.hears(f.t, "todo_message", p.name), text, 1)
	w.says("receive_client_event", text)
	w.says("sign_in", map[string]any{"note": text, "userName": text})
	for _, kind := range []string{"client.event", "sign_in"} {
		storetest.EventuallyWithin(f.t, patience, func() bool {
			return slices.ContainsFunc(f.backend.all(), func(line string) bool {
				at := strings.IndexByte(line, '{')
				return at > 0 && strings.Contains(line, `"`+kind+`"`) && carried([]byte(line[at:]), text) > 0
			})
		}, p.name+": the backend never hears of "+kind)
		f.fields.Add(1)
	}
}

// refusals are where a payload has no business: they must be answered in a way that says so, and nothing else.
func (f *feed) refusals(p payload) {
	text := p.short(2000)
	esc, query := url.PathEscape(text), url.QueryEscape(text)
	for _, path := range []string{
		"/" + esc, "/api/v1/" + esc, "/api/v1/users/" + esc + "/inbox", "/api/v1/conferences/" + esc + "/tree", "/api/v1/notices/" + esc, "/api/v1/notices?cursor=" + query,
		"/api/v1/notices?state=" + query, "/api/v1/notices?" + query + "=1", "/api/v1/explain?userId=" + query, "/docs/" + esc, "/socket.io/" + esc,
		"/socket.io/?EIO=" + query, "/socket.io/?EIO=4&transport=" + query, "/socket.io/?EIO=4&transport=polling&sid=" + query, "/socket.io/?EIO=3&transport=polling&j=" + query,
	} {
		var answer string
		status, h := f.call("GET", path, nil, &answer)
		if status >= 500 {
			f.t.Errorf("%s: GET %.60s answered %d", p.name, path, status)
		}
		if kind := h.Get("Content-Type"); strings.Contains(answer, text) && strings.Contains(text, "<") && !strings.Contains(kind, "json") && !strings.Contains(kind, "text/plain") {
			f.t.Errorf("%s: GET %.60s repeats it as %s", p.name, path, kind)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" && status != http.StatusBadRequest {
			f.t.Errorf("%s: GET %.60s (%d) lets browsers guess what the answer is", p.name, path, status)
		}
	}
	for _, header := range []string{"Idempotency-Key", "If-Match", "If-None-Match", "Content-Type", "Origin", "Authorization", "X-API-Key"} {
		if status, _ := f.call("PATCH", "/api/v1/conferences/42/tree", `{}`, nil, header, headerSafe(text)); status >= 500 {
			f.t.Errorf("%s as %s: %d", p.name, header, status)
		}
	}
	for _, key := range []string{"userId", "conferenceId", "clientType", "deviceId"} {
		if w, err := join(f.base, "7", "42", key, text, "token", token(f.t, "7")); err == nil && utf8.RuneCountInString(text) > 64 {
			w.leave()
			f.t.Errorf("%s came in as %s", p.name, key)
		} else if err == nil {
			w.leave() // such as __proto__, which is an id as any other
		}
	}
}

// broken sends what no HTTP client would: the raw text of a request with the payload in it.
func (f *feed) broken(p payload) {
	f.t.Helper()
	for _, request := range []string{
		"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: %s\r\n\r\n", "%s / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET / %s\r\nHost: localhost\r\n\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\n%s: 1\r\n\r\n", "POST /api/v1/users HTTP/1.1\r\nHost: localhost\r\nContent-Length: %s\r\n\r\n", "%s\r\n\r\n",
	} {
		c, err := net.Dial("tcp", strings.TrimPrefix(f.base, "http://"))
		if err != nil {
			f.t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		_, _ = fmt.Fprintf(c, request, p.text)
		answer, _ := bufio.NewReader(c).ReadString('\n')
		if strings.HasPrefix(answer, "HTTP/1.1 5") {
			f.t.Errorf("%s in %q is answered %s", p.name, request, answer)
		}
		_ = c.Close()
	}
}

// wrongLine reports what is wrong with a line of the log.
func wrongLine(format, line string) string {
	harmful := func(r rune) bool {
		return unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError
	}
	if i := strings.IndexFunc(line, harmful); i >= 0 {
		return fmt.Sprintf("a character that a terminal obeys or hides at byte %d", i)
	}
	if format == "text" {
		if !strings.HasPrefix(line, "time=") || strings.HasPrefix(line, "time=2026-01-01T00:00:00Z") {
			return "no line of ours"
		}
		return ""
	}
	var o struct{ Time, Level, Msg string }
	d := json.NewDecoder(strings.NewReader(line))
	if err := d.Decode(&o); err != nil || d.More() || o.Time == "" || o.Level == "" || o.Msg == "" || o.Msg == forged {
		return "not one JSON object of ours"
	}
	return ""
}

// beaconHits is a place that nobody has a reason to ask for anything, and how often it was asked.
func beaconHits(t *testing.T) (*httptest.Server, *atomic.Int64) {
	hits := &atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(s.Close)
	return s, hits
}
