package rest

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// contract is the OpenAPI document as clients read it. What stands in it and not here makes reading it fail, so that the
// judge of answers overlooks nothing of it.
type contract struct {
	OpenAPI    string                      `json:"openapi"`
	Info       json.RawMessage             `json:"info"`
	Tags       json.RawMessage             `json:"tags"`
	Paths      map[string]map[string]*call `json:"paths"`
	Components struct {
		Schemas         map[string]*shape `json:"schemas"`
		SecuritySchemes json.RawMessage   `json:"securitySchemes"`
	} `json:"components"`

	calls []*call // all of Paths, in a fixed order
}

// call is an operation.
type call struct {
	OperationID string          `json:"operationId"`
	Summary     string          `json:"summary"`
	Description string          `json:"description"`
	Tags        []string        `json:"tags"`
	Security    json.RawMessage `json:"security"`
	Parameters  []parameter     `json:"parameters"`
	RequestBody *struct {
		Description string           `json:"description"`
		Required    bool             `json:"required"`
		Content     map[string]media `json:"content"`
	} `json:"requestBody"`
	Responses map[string]struct {
		Description string                     `json:"description"`
		Headers     map[string]json.RawMessage `json:"headers"`
		Content     map[string]media           `json:"content"`
	} `json:"responses"`

	method, path string
}

type parameter struct {
	Name        string `json:"name"`
	In          string `json:"in"`
	Description string `json:"description"`
	Required    bool   `json:"required"`
	Explode     *bool  `json:"explode"`
	Schema      *shape `json:"schema"`
	Example     any    `json:"example"`
}

type media struct {
	Schema *shape `json:"schema"`
}

// shape is a JSON Schema.
type shape struct {
	Ref         string            `json:"$ref"`
	Type        oneOrMore         `json:"type"`
	Format      string            `json:"format"`
	Description string            `json:"description"`
	Examples    []any             `json:"examples"`
	Default     any               `json:"default"`
	Enum        []any             `json:"enum"`
	Minimum     *float64          `json:"minimum"`
	Maximum     *float64          `json:"maximum"`
	MinLength   *int              `json:"minLength"`
	MaxLength   *int              `json:"maxLength"`
	MaxItems    *int              `json:"maxItems"`
	Items       *shape            `json:"items"`
	Properties  map[string]*shape `json:"properties"`
	Required    []string          `json:"required"`
	Additional  *additional       `json:"additionalProperties"`
	OneOf       []*shape          `json:"oneOf"`
}

// oneOrMore are the types of a shape.
type oneOrMore []string

func (o *oneOrMore) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*o = oneOrMore{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(o))
}

// additional is what an object may hold besides its properties.
type additional struct {
	allowed bool
	shape   *shape // of each, nil for any
}

func (a *additional) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, &a.allowed) == nil {
		return nil
	}
	a.allowed = true
	return json.Unmarshal(b, &a.shape)
}

// readContract reads the document that the door serves.
func readContract(b *bench) *contract {
	b.t.Helper()
	c := &contract{}
	d := json.NewDecoder(b.do("GET", "/openapi.json", "").Body)
	d.DisallowUnknownFields()
	if err := d.Decode(c); err != nil {
		b.t.Fatalf("read the document: %v", err)
	}
	for _, path := range slices.Sorted(maps.Keys(c.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(c.Paths[path])) {
			one := c.Paths[path][method]
			one.method, one.path = strings.ToUpper(method), path
			c.calls = append(c.calls, one)
		}
	}
	for path, item := range b.api.OpenAPI().Paths {
		if len(c.Paths[path]) == 0 || item == nil {
			b.t.Fatalf("%s is not in the document that is served", path)
		}
	}
	return c
}

// named returns a call, nil for none.
func (c *contract) named(operationID string) *call {
	for _, one := range c.calls {
		if one.OperationID == operationID {
			return one
		}
	}
	return nil
}

// resolve follows references.
func (c *contract) resolve(s *shape) *shape {
	for s != nil && s.Ref != "" {
		s = c.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
	}
	return s
}

// look compares a value, whose numbers are json.Number, with a shape.
type look struct {
	*contract
	sent bool // by a client, of whom null means absent
}

// misfits returns where and how v does not have the shape.
func (l look) misfits(s *shape, v any, at string) (list []string) {
	if s = l.resolve(s); s == nil {
		return []string{at + ": its schema is missing"}
	}
	if s.OneOf != nil {
		fitting := 0
		for _, one := range s.OneOf {
			if len(l.misfits(one, v, at)) == 0 {
				fitting++
			}
		}
		if fitting != 1 {
			list = append(list, fmt.Sprintf("%s fits %d of oneOf", at, fitting))
		}
	}
	if len(s.Type) > 0 && !slices.ContainsFunc(s.Type, func(name string) bool { return isA(name, v) }) {
		return append(list, fmt.Sprintf("%s is a %T, not %v", at, v, s.Type))
	}
	if len(s.Enum) > 0 && v != nil && !slices.Contains(s.Enum, v) {
		list = append(list, fmt.Sprintf("%s is %v, not one of %v", at, v, s.Enum))
	}
	switch v := v.(type) {
	case json.Number:
		list = append(list, s.amiss(v, at)...)
	case string:
		if n := utf8.RuneCountInString(v); s.MinLength != nil && n < *s.MinLength || s.MaxLength != nil && n > *s.MaxLength {
			list = append(list, fmt.Sprintf("%s has %d characters", at, n))
		}
	case []any:
		if s.MaxItems != nil && len(v) > *s.MaxItems {
			list = append(list, fmt.Sprintf("%s has %d items", at, len(v)))
		}
		for i, item := range v {
			if s.Items != nil {
				list = append(list, l.misfits(s.Items, item, fmt.Sprintf("%s[%d]", at, i))...)
			}
		}
	case map[string]any:
		list = append(list, l.inside(s, v, at)...)
	}
	return list
}

// inside looks at the fields of an object.
func (l look) inside(s *shape, v map[string]any, at string) (list []string) {
	has := func(name string) bool { value, ok := v[name]; return ok && !(l.sent && value == nil) }
	for _, name := range s.Required {
		if !has(name) {
			list = append(list, at+" lacks "+name)
		}
	}
	for name, value := range v {
		if !has(name) {
			continue
		}
		switch property := s.Properties[name]; {
		case property != nil:
			list = append(list, l.misfits(property, value, at+"."+name)...)
		case s.Additional == nil || s.Additional.allowed && s.Additional.shape == nil:
		case !s.Additional.allowed:
			list = append(list, fmt.Sprintf("%s has a field %q more", at, name))
		default:
			list = append(list, l.misfits(s.Additional.shape, value, at+"."+name)...)
		}
	}
	return list
}

// isA reports whether v has a type of JSON Schema.
func isA(name string, v any) bool {
	switch v := v.(type) {
	case nil:
		return name == "null"
	case bool:
		return name == "boolean"
	case string:
		return name == "string"
	case json.Number:
		return name == "number" || name == "integer" && !strings.ContainsAny(string(v), ".eE")
	case []any:
		return name == "array"
	case map[string]any:
		return name == "object"
	}
	return false
}

// amiss returns what is wrong with a number.
func (s *shape) amiss(n json.Number, at string) (list []string) {
	if _, err := strconv.ParseInt(string(n), 10, 64); s.Format == "int64" && err != nil {
		list = append(list, at+" is no int64")
	}
	f, _ := strconv.ParseFloat(string(n), 64) // infinite where it is too large
	if s.Minimum != nil && f < *s.Minimum || s.Maximum != nil && f > *s.Maximum {
		list = append(list, fmt.Sprintf("%s is %s, out of bounds", at, n))
	}
	return list
}

// decoded reads JSON with its numbers as text.
func decoded(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err = d.Decode(&v); err == nil && d.More() {
		err = fmt.Errorf("more than one value")
	}
	return v, err
}

// answered is an answer as a client has it.
type answered struct {
	status int
	header http.Header
	body   []byte
}

func (a answered) good() bool { return a.status >= 200 && a.status < 300 }

var codeForm = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// judge returns what the contract says against an answer to a call, or, with nil, to what is no call.
func (c *contract) judge(to *call, method string, r answered) (wrong []string) {
	note := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if r.status >= 500 {
		note("status %d", r.status)
	}
	if r.header.Get("X-Content-Type-Options") != "nosniff" {
		note("no nosniff")
	}
	if (r.status == http.StatusTooManyRequests || r.status == http.StatusServiceUnavailable) && r.header.Get("Retry-After") == "" {
		note("no Retry-After")
	}
	kind, _, err := mime.ParseMediaType(r.header.Get("Content-Type"))
	if err != nil && len(r.body) > 0 {
		note("content type %q", r.header.Get("Content-Type"))
	}
	var content map[string]media
	switch {
	case to != nil:
		said, ok := to.Responses[strconv.Itoa(r.status)]
		if !ok {
			note("status %d is not in the document", r.status)
		}
		content = said.Content
	case r.status != http.StatusNoContent: // of a preflight
		content = map[string]media{problemType: {Schema: c.Components.Schemas["Problem"]}}
		if r.status != http.StatusNotFound && r.status != http.StatusMethodNotAllowed && r.status != http.StatusForbidden {
			note("status %d of what is no operation", r.status)
		}
	}
	said, ok := content[kind]
	switch {
	case method == http.MethodHead:
	case len(content) == 0 && len(r.body) > 0:
		note("a body where none is documented")
	case len(content) > 0 && !ok:
		note("content type %q is not in the document", kind)
	case kind == "text/csv":
		wrong = append(wrong, badCSV(r.body)...)
	case len(content) > 0:
		wrong = append(wrong, c.badJSON(said.Schema, r, kind)...)
	}
	return wrong
}

// badJSON returns what is wrong with a body of JSON.
func (c *contract) badJSON(s *shape, r answered, kind string) []string {
	v, err := decoded(r.body)
	if err != nil || !utf8.Valid(r.body) {
		return []string{fmt.Sprintf("the body is no JSON: %v", err)}
	}
	wrong := look{contract: c}.misfits(s, v, "body")
	p, _ := v.(map[string]any)
	if kind != problemType || p == nil {
		return wrong
	}
	code, _ := p["code"].(string)
	title, _ := p["title"].(string)
	detail, _ := p["detail"].(string)
	if fmt.Sprint(p["status"]) != strconv.Itoa(r.status) || title != http.StatusText(r.status) || !codeForm.MatchString(code) || detail == "" || r.status < 400 {
		wrong = append(wrong, "not a problem document")
	}
	for _, inner := range []string{".go:", "goroutine", "panic", "runtime error", "sqlite", "SQLSTATE", "Error 1"} {
		if strings.Contains(detail, inner) {
			wrong = append(wrong, "internals are told: "+inner)
		}
	}
	return wrong
}

// badCSV returns what is wrong with a file for spreadsheets.
func badCSV(body []byte) (wrong []string) {
	text, ok := bytes.CutPrefix(body, []byte(bom))
	if !ok || !utf8.Valid(text) {
		wrong = append(wrong, "the file is no UTF-8 with BOM")
	}
	lines, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil || len(lines) == 0 {
		return append(wrong, fmt.Sprintf("the file is no CSV: %v", err))
	}
	for _, line := range lines {
		for _, cell := range line {
			if cell != "" && strings.ContainsRune("=+-@\t\r\n", rune(cell[0])) {
				wrong = append(wrong, fmt.Sprintf("a spreadsheet runs the cell %.40q", cell))
			}
		}
	}
	return wrong
}

// TestJudge: the judge of answers sees what it has to see, and likes what is right. It needs no server to be wrong.
func TestJudge(t *testing.T) {
	c := &contract{}
	err := json.Unmarshal([]byte(`{"components":{"schemas":{"Problem":{"type":"object","required":["title","status","detail","code"],"additionalProperties":false,
		"properties":{"title":{"type":"string"},"status":{"type":"integer"},"detail":{"type":"string"},"code":{"type":"string"}}},
		"Item":{"type":"object","required":["n"],"additionalProperties":false,"properties":{"n":{"type":["integer","null"],"format":"int64","minimum":1},
		"s":{"type":"string","maxLength":2,"enum":["a","é!"]},"o":{"oneOf":[{"type":"string"},{"type":"integer"}]},"l":{"type":"array","maxItems":1,"items":{"$ref":"#/components/schemas/Item"}},
		"m":{"type":"object","additionalProperties":{"type":"boolean"}}}}}}}`), c)
	if err != nil {
		t.Fatal(err)
	}
	to := &call{}
	err = json.Unmarshal([]byte(`{"responses":{"200":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Item"}},"text/csv":{"schema":{"type":"string"}}}},
		"204":{},"404":{"content":{"application/problem+json":{"schema":{"$ref":"#/components/schemas/Problem"}}}}}}`), to)
	if err != nil {
		t.Fatal(err)
	}
	const good = `{"title":"Not Found","status":404,"detail":"x","code":"not_found"}`
	for _, x := range []struct {
		status     int
		kind, body string
		right      bool
	}{
		{200, "application/json", `{"n":1,"s":"é!","o":3,"l":[{"n":null}],"m":{"x":true}}`, true},
		{200, "application/json", `{}`, false}, {200, "application/json", `{"n":0}`, false}, {200, "application/json", `{"n":1.5}`, false},
		{200, "application/json", `{"n":9223372036854775808}`, false}, {200, "application/json", `{"n":1,"x":1}`, false}, {200, "application/json", `{"n":1,"s":"abc"}`, false},
		{200, "application/json", `{"n":1,"s":"b"}`, false}, {200, "application/json", `{"n":1,"o":true}`, false}, {200, "application/json", `{"n":1,"l":[{},{}]}`, false},
		{200, "application/json", `{"n":1,"l":[{"n":"1"}]}`, false}, {200, "application/json", `{"n":1,"m":{"x":1}}`, false}, {200, "application/json", `{"n":1} 2`, false},
		{200, "application/json", `{"n":1`, false}, {200, "application/json", ``, false}, {200, "text/plain", `{"n":1}`, false}, {200, "application/json", `null`, false},
		{200, "text/csv", bom + "a,b\r\n'=1,2\r\n", true}, {200, "text/csv", "a\r\n", false}, {200, "text/csv", bom + "a\r\n=1\r\n", false}, {200, "text/csv", bom + "a\r\n1,2\r\n", false},
		{204, "", "", true}, {204, "", "x", false}, {201, "application/json", `{"n":1}`, false}, {503, problemType, strings.ReplaceAll(good, "404", "503"), false},
		{404, problemType, good, true}, {404, "application/json", good, false}, {404, problemType, strings.Replace(good, "404", "400", 1), false},
		{404, problemType, strings.Replace(good, `"x"`, `""`, 1), false}, {404, problemType, strings.Replace(good, `not_found"`, `Not found"`, 1), false},
		{404, problemType, strings.Replace(good, `"x"`, `"panic: door.go:7"`, 1), false},
	} {
		wrong := c.judge(to, "GET", answered{x.status, http.Header{"X-Content-Type-Options": {"nosniff"}, "Content-Type": {x.kind}}, []byte(x.body)})
		if (len(wrong) == 0) != x.right {
			t.Errorf("%d %s %s: %q", x.status, x.kind, x.body, wrong)
		}
	}
}
