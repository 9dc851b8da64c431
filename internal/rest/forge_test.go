package rest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"rollcall/internal/auth"
)

// forge makes requests from the contract. The nth request depends on nothing but the seed, n, and what earlier answers gave,
// so a seed brings a failure back.
type forge struct {
	*contract
	seed uint64

	askers []asker // who asks; nobody says who he is without them

	mu   sync.Mutex // guards pool
	pool map[string][]string
}

// keptOf is how many values of a kind the pool keeps, the last ones.
const keptOf = 32

// newForge begins with a small world, so that things are there already and collide.
func newForge(c *contract, seed uint64) *forge {
	return &forge{contract: c, seed: seed, pool: map[string][]string{
		"user": {"1", "1", "1", "2", "2", "3", "4", "5"}, "conference": {"42", "42", "43", "44"}, "node": {"n1", "n9"}, "session": {"s0", "s1"}, "client": {"web", "app"}, "section": sections,
		"event": {"hello", "remind", "notice", "attend_login", "note_tree"}, "version": {"1"}, "time": {"0", "1", strconv.FormatInt(time.Now().UnixMilli(), 10)},
	}}
}

// keep adds a value to the pool.
func (f *forge) keep(kind, value string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := f.pool[kind]
	if slices.Contains(list, value) {
		return
	}
	if len(list) >= keptOf {
		list = list[1:]
	}
	f.pool[kind] = append(list[:len(list):len(list)], value)
}

// learn keeps what an answer to a call gives: ids by what they are of, cursors and versions.
func (f *forge) learn(to *call, v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			f.learn(to, item)
		}
	case map[string]any:
		for name, value := range v {
			text, isText := value.(string)
			switch {
			case name == "next" && isText:
				f.keep("cursor of "+to.OperationID, text)
			case name == "version" && value != nil:
				f.keep("version", fmt.Sprint(value))
			case name == "sessionId" && text != "":
				f.keep("session", text)
			case name == "id" && len(text) == 26: // ids of the service's own making
				kind := "notice"
				if strings.Contains(to.path, "/webhooks/") {
					kind = "webhook"
				}
				f.keep(kind, text)
				if to.OperationID == "post-notice" { // most rows of the log are none that can be taken back
					f.keep("posted", text)
				}
			}
			f.learn(to, value)
		}
	}
}

// kindOfPath is what the id in a path is of.
func kindOfPath(path string) string {
	for part, kind := range map[string]string{"/users": "user", "/conferences": "conference", "/sessions": "session", "/nodes": "node", "/webhooks": "webhook"} {
		if strings.HasPrefix(path, prefix+part) {
			return kind
		}
	}
	return "notice"
}

// kinds are what fields and parameters hold, by their names. The rest is any text or number.
var kinds = map[string]string{
	"userId": "user", "users": "user", "userIds": "user", "tokens": "user", "sendUserId": "user", "senderId": "user", "recipientId": "user", "except": "user",
	"conferenceId": "conference", "conference": "conference", "sessionId": "session", "ids": "notice", "cursor": "cursor", "event": "event", "destination": "event",
	"clientTypes": "client", "section": "section", "from": "time", "to": "time", "at": "time", "sendAt": "time",
}

// request is one request, to be sent as it is.
type request struct {
	n              uint64
	call           *call // that it was made for; odd paths and methods lead elsewhere
	method, target string
	header         [][2]string
	body           string
	chunked, cut   bool // without a length; the connection breaks in the middle of the body
	broken         bool // something may be wrong with it

	who      string
	proof    []string // headers with his credential, which is not shown
	stranger bool     // he has none, or a wrong one
}

// String shows a request as one reads it, long bodies cut.
func (q request) String() string {
	return fmt.Sprintf("request %d, for %s: %s %s %q %s %.1500q", q.n, q.call.OperationID, q.method, q.target, q.header, q.who, q.body)
}

// pen writes one request.
type pen struct {
	*forge
	*rand.Rand
	evil  float64 // how likely each part is wrong
	twice bool    // the next field is there twice, and the first one, which is overlooked, may well be wrong
	leaf  bool    // only texts and numbers are wrong, so that the rest is looked at
}

// request makes the nth request. Half of them are as the document wants them, the others wrong in one place or in many.
func (f *forge) request(n uint64) request {
	p := &pen{forge: f, Rand: rand.New(rand.NewPCG(f.seed, n))}
	p.evil, p.twice = []float64{0, 0, 0.03, 0.2}[p.IntN(4)], p.IntN(8) == 0
	q := request{n: n, call: f.calls[int(n)%len(f.calls)], broken: p.evil > 0 || p.twice}
	q.method = q.call.method
	if p.rare() {
		q.method = pick(p, http.MethodHead, http.MethodOptions, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodGet, http.MethodTrace, "PROPFIND")
	}
	q.target = p.target(q.call)
	q.header = p.headers(q.call)
	if len(f.askers) > 0 {
		who := pick(p, f.askers...)
		q.who, q.proof, q.stranger = who.name, who.header(), who.role == auth.None
	}
	if p.evil == 0 && p.IntN(4) == 0 { // wrong in its texts and numbers alone
		p.evil, p.leaf, q.broken = 0.3, true, true
	}
	if b := q.call.RequestBody; b != nil {
		q.body = p.spoil(p.value("", b.Content["application/json"].Schema))
		if q.body == "{}" && !isTree(q.call) && p.IntN(2) == 0 {
			q.body = ""
		}
	} else if p.odd() {
		q.body = p.nasty()
	}
	q.chunked, q.cut = p.IntN(10) == 0, p.rare()
	return q
}

// isTree reports whether a call takes a tree or a part of one: any JSON, but not nothing.
func isTree(to *call) bool { return strings.Contains(to.path, "/tree") }

func pick[T any](p *pen, from ...T) T { return from[p.IntN(len(from))] }

// odd reports whether something is to be wrong here.
func (p *pen) odd() bool { return !p.leaf && p.Float64() < p.evil }

// rare reports whether something is to be wrong that keeps all the rest from being seen.
func (p *pen) rare() bool { return !p.leaf && p.Float64() < p.evil*p.evil }

// of returns a value of a kind, "" where none was seen.
func (p *pen) of(kind string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.pool[kind]
	if posted := p.pool["posted"]; kind == "notice" && len(posted) > 0 && p.IntN(2) == 0 {
		list = posted
	}
	if len(list) > 0 {
		return list[p.IntN(len(list))]
	}
	return ""
}

// target writes path and query.
func (p *pen) target(to *call) string {
	parts := strings.Split(to.path, "/")
	for i, part := range parts {
		name, isName := strings.CutPrefix(part, "{")
		if !isName {
			if p.rare() {
				parts[i] = pick(p, strings.ToUpper(part), "%"+fmt.Sprintf("%x", "a"+part)[:2]+part, "..", "", part+"%2F", part+";a=b")
			}
			continue
		}
		name = strings.TrimSuffix(name, "}")
		kind := kinds[name]
		if name == "id" {
			kind = kindOfPath(to.path)
		}
		id := p.of(kind)
		if id == "" {
			id = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
		}
		if p.odd() {
			id = p.text(255)
		}
		parts[i] = p.escape(id)
	}
	target := strings.Join(parts, "/")
	if q := p.query(to); q != "" {
		target += "?" + q
	}
	if _, err := url.ParseRequestURI(target); err != nil { // net/http refuses it long before us
		return to.path
	}
	return target
}

// escape writes a text for a path, in one of the ways in which that is done, and in some in which it should not be.
func (p *pen) escape(s string) string {
	switch {
	case !p.odd():
		return url.PathEscape(s)
	case p.odd():
		return url.PathEscape(url.PathEscape(s))
	}
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, pick(p, "%%%02X", "%%%02x"), c)
	}
	return b.String()
}

// query writes the parameters of a call.
func (p *pen) query(to *call) string {
	var parts []string
	for _, x := range to.Parameters {
		if x.In != "query" || !x.Required && p.IntN(4) > 0 || p.odd() {
			continue
		}
		kind := kinds[x.Name]
		if kind == "cursor" {
			kind += " of " + pick(p, p.calls...).OperationID
			if !p.odd() {
				kind = "cursor of " + to.OperationID
			}
		}
		name, value := x.Name, p.plain(kind, x.Schema)
		switch {
		case p.odd():
			value = p.text(600)
		case p.odd():
			name = strings.ToUpper(name)
		}
		parts = append(parts, name+"="+url.QueryEscape(value))
		if p.odd() {
			parts = append(parts, pick(p, parts[len(parts)-1], "nonsense=1", "__proto__=x", "=", "%zz", "a;b", "a=%ff", "%00=1", name+"[]=1"))
		}
	}
	return strings.Join(parts, pick(p, "&", "&", "&", "&&"))
}

// plain is a value for a query.
func (p *pen) plain(kind string, s *shape) string {
	var text string
	if v := p.value(kind, s); json.Unmarshal([]byte(v), &text) != nil {
		return v
	}
	return text
}

// headers writes those that mean something here.
func (p *pen) headers(to *call) (list [][2]string) {
	add := func(name, value string) { list = append(list, [2]string{name, value}) }
	for _, x := range to.Parameters {
		if x.In != "header" || p.IntN(3) > 0 {
			continue
		}
		switch {
		case p.odd():
			add(x.Name, pick(p, "", "é", `"`, "W/", `""`, `"-1"`, `"99999999999999999999"`, `*, "1"`, "null", strings.Repeat("k", 256), `"1e3"`, "<script>", `"٣"`))
		case x.Name == "Idempotency-Key":
			add(x.Name, pick(p, "a", "b", "c")+strconv.FormatUint(p.Uint64N(50), 10))
		default:
			add(x.Name, pick(p, `"`+p.of("version")+`"`, `W/"`+p.of("version")+`"`, "*"))
		}
		if p.odd() {
			list = append(list, list[len(list)-1])
		}
	}
	switch {
	case to.RequestBody == nil:
	case p.odd():
		add("Content-Type", pick(p, "text/plain", "application/json; charset=utf-16", ";;;", "", "application/xml", "multipart/form-data; boundary=x", "*/*", strings.Repeat("a/", 200), "APPLICATION/JSON"))
	case p.IntN(5) > 0:
		add("Content-Type", pick(p, "application/json", "application/json; charset=utf-8", "application/merge-patch+json", "application/x-www-form-urlencoded"))
	}
	for _, x := range [][2]string{
		{"Accept", "text/html"}, {"Accept", "application/cbor, */*;q=0"}, {"Accept", ";;;"}, {"Origin", "https://stranger.example"}, {"Origin", "null"}, {"Range", "bytes=0-1"},
		{"X-Forwarded-For", "<script>, 1.2.3.4"}, {"X-HTTP-Method-Override", "DELETE"}, {"Content-Encoding", "gzip"}, {"Accept-Encoding", "br;q=9"}, {"Cookie", "a=b; ;="},
	} {
		if p.odd() {
			add(x[0], x[1])
		}
	}
	return list
}

// value writes JSON of a shape. kind is what it holds.
func (p *pen) value(kind string, s *shape) string {
	s = p.resolve(s)
	if p.odd() || p.leaf && s.Items == nil && s.Properties == nil && p.Float64() < p.evil {
		return p.wrong(s)
	}
	if s.OneOf != nil {
		if n := p.of(kind); isDigits(n) && p.IntN(2) == 0 {
			return n
		}
		s = s.OneOf[0]
	}
	if len(s.Enum) > 0 {
		return quote(fmt.Sprint(pick(p, append(s.Enum, s.Enum[0], s.Enum[0])...))) // the first one is often what the others need
	}
	kindOfType := ""
	if len(s.Type) > 0 {
		kindOfType = s.Type[0]
	}
	switch kindOfType {
	case "string":
		return quote(p.short(kind))
	case "integer":
		return p.number(kind, s)
	case "boolean":
		return pick(p, "true", "false")
	case "array":
		list := make([]string, p.IntN(4))
		for i := range list {
			list[i] = p.value(kind, s.Items)
		}
		return "[" + strings.Join(list, ",") + "]"
	case "object":
		return p.object(s)
	}
	return pick(p, "{}", "{}", "{}", `{"a":[1,{"b":null}],"n":12345678901234567890.10}`, `"text"`, "17", "true", "[]", `{"isShare":"1","userId":"2"}`, `{"__proto__":{"x":1}}`, "null", `"=1+1"`, `{"<":"\u0001\ud83d\ude00"}`)
}

// wrong writes what should not stand where the shape is: of its type, which gets further, or of any.
func (p *pen) wrong(s *shape) string {
	switch {
	case p.IntN(2) == 0 && (slices.Contains(s.Type, "string") || s.OneOf != nil):
		return quote(p.text(1000))
	case p.IntN(2) == 0 && slices.Contains(s.Type, "integer"):
		return pick(p, "0", "-1", "1000000000000", "9223372036854775807", "-9223372036854775808", "9223372036854775808")
	}
	return p.nasty()
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == "" && (s == "0" || s[0] != '0')
}

// number writes an integer.
func (p *pen) number(kind string, s *shape) string {
	if kind == "time" {
		return p.of(kind)
	}
	least, most := 0.0, 1000.0
	if s.Minimum != nil {
		least = *s.Minimum
	}
	if s.Maximum != nil {
		most = *s.Maximum
	}
	return strconv.FormatInt(int64(least)+p.Int64N(int64(min(most-least, 1000))+1), 10)
}

// object writes an object, wrong ones with a field more, a field less, a field twice, or a name in another case.
func (p *pen) object(s *shape) string {
	var fields []string
	chosen := p.chosen(s)
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if !chosen[name] {
			continue
		}
		kind := kinds[name]
		if name == "id" {
			kind = "user"
		}
		field := quote(name) + ":"
		if p.twice {
			p.twice = false
			worse := &pen{forge: p.forge, Rand: p.Rand, evil: 0.5, leaf: true}
			field += worse.value(kind, s.Properties[name]) + "," + field
		}
		field += p.value(kind, s.Properties[name])
		if p.odd() {
			field = strings.ToUpper(field[:2]) + field[2:]
		}
		fields = append(fields, field)
	}
	if p.odd() {
		fields = append(fields, pick(p, `"nonsense":1`, `"__proto__":{"role":"host"}`, `"":null`, `"\u0000":1`, `"a":{"b":[null]}`, `"\ud800":1`))
	}
	p.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	return "{" + strings.Join(fields, ",") + "}"
}

// alternatives are fields of which there must be exactly one, which a schema does not say.
var alternatives = [][]string{{"users", "conference", "all"}, {"ids", "all"}}

// wanted are fields that a schema lets one leave out, and most calls miss.
var wanted = []string{"to", "durationMs", "userId"}

// chosen are the fields that an object gets.
func (p *pen) chosen(s *shape) map[string]bool {
	list := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) { // in an order, so that a seed brings it back
		list[name] = (slices.Contains(s.Required, name) || slices.Contains(wanted, name) || p.IntN(2) == 0) != p.odd()
	}
	for _, names := range alternatives {
		if slices.ContainsFunc(names, func(name string) bool { return s.Properties[name] == nil }) || p.odd() {
			continue
		}
		for _, name := range names {
			list[name] = false
		}
		list[pick(p, names...)] = true
	}
	return list
}

func quote(s string) string {
	b, _ := json.Marshal(s) // a string cannot fail
	return string(b)
}
