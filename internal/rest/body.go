package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"rollcall/internal/rawjson"
)

const (
	maxBody     = 262144           // bytes of a request body
	maxDepth    = 64               // levels of nesting in it
	bodyTimeout = 10 * time.Second // for a body to arrive
)

// tellNamesApart makes a name in another case another name, in the whole process. Left alone, huma checks one of the two
// and encoding/json reads the other.
var tellNamesApart = sync.OnceFunc(func() { huma.ValidateStrictCasing = true })

// bodyKind is how a request body is read.
type bodyKind int

const (
	noBody   bodyKind = iota
	fields            // an object whose fields are known; null means absent wherever it stands
	loose             // the same, but what lies deeper than its own fields is none of our business
	carrying          // fields, but what stands in data is none of our business
	verbatim          // any JSON, kept as it is
)

// screen is a huma middleware that refuses whom and what no handler should see, and hands on what is left with nulls taken
// out. Who may not call learns nothing else, and his body is not read.
func (d *Door) screen(o operation) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		c := humagin.Unwrap(ctx)
		v := visitOf(c.Request.Context())
		p := d.enter(c, o)
		if p == nil {
			p = checkPath(c, o.path)
		}
		if p == nil {
			p = checkQuery(c.Request.URL.RawQuery)
		}
		var body []byte
		if p == nil && o.body != noBody {
			body, p = receiveBody(c)
		}
		if p == nil && o.body != noBody {
			var done func()
			if done, p = d.turns.take(c.Request.Context(), len(body)); p == nil {
				defer done()
				p = prepareBody(c, o, body)
			}
		}
		if p == nil && o.repeatable() {
			v.key, p = keyOf(c.Request, v.caller, body)
		}
		if p != nil {
			refuse(c, p)
			return
		}
		next(ctx)
	}
}

// checkPath refuses ids that cannot be any.
func checkPath(c *gin.Context, route string) *problem {
	for _, param := range c.Params {
		var err error
		switch {
		case param.Key == "section":
		case strings.HasPrefix(route, prefix+"/conferences/") && param.Key == "id":
			err = checkConference("path.id", param.Value)
		default:
			err = checkUser("path."+param.Key, param.Value)
		}
		if err != nil {
			return problemOf(err)
		}
	}
	return nil
}

// checkQuery refuses what url.Values would silently drop or mix up.
func checkQuery(raw string) *problem {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return newProblem(http.StatusUnprocessableEntity, "bad_payload", "the query string is malformed")
	}
	for name, list := range values {
		if len(list) > 1 {
			return newProblem(http.StatusUnprocessableEntity, "bad_payload", "a query parameter is there twice")
		}
		if !clean(name) || !clean(list[0]) {
			return newProblem(http.StatusUnprocessableEntity, "bad_payload", "the query string must be UTF-8 without NUL")
		}
	}
	return nil
}

func clean(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// receiveBody reads the whole body.
func receiveBody(c *gin.Context) ([]byte, *problem) {
	_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Now().Add(bodyTimeout)) // not every writer can, a test's for one
	raw, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, maxBody))
	if err != nil {
		return nil, unreadable(err)
	}
	if len(raw) > 0 && !isJSON(c.GetHeader("Content-Type")) {
		return nil, newProblem(http.StatusUnsupportedMediaType, "unsupported_media_type", "the body must be application/json")
	}
	visitOf(c.Request.Context()).unread = false
	return raw, nil
}

// prepareBody checks a body and puts what huma is to see in its place.
func prepareBody(c *gin.Context, o operation, raw []byte) *problem {
	doc := bytes.TrimSpace(raw)
	if len(doc) == 0 && o.body != verbatim {
		doc = []byte("{}")
	}
	if p := checkJSON(doc); p != nil {
		return p
	}
	switch o.body {
	case fields:
		doc = withoutNulls(doc, maxDepth)
	case loose:
		doc = known(withoutNulls(doc, 1), o.names)
	case carrying:
		doc = withoutNulls(doc, maxDepth, "data")
	}
	c.Request.Header.Set("Content-Type", "application/json")
	c.Request.Body = io.NopCloser(bytes.NewReader(doc))
	return nil
}

func unreadable(err error) *problem {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return newProblem(http.StatusRequestEntityTooLarge, "too_large", "the body may have at most 262144 bytes")
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return newProblem(http.StatusRequestTimeout, "request_timeout", "the body did not arrive in time")
	}
	return newProblem(http.StatusBadRequest, "bad_json", "the body could not be read to its end")
}

// isJSON accepts a missing type: many clients leave it out.
func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	switch media {
	case "application/json", "application/merge-patch+json":
		return true
	case "application/x-www-form-urlencoded": // what curl -d and Java's HttpURLConnection say of any body
		return true
	}
	return false
}

func checkJSON(doc []byte) *problem {
	err := rawjson.Check(doc, maxDepth)
	switch {
	case errors.Is(err, rawjson.ErrTooDeep):
		return newProblem(http.StatusUnprocessableEntity, "too_deep", "the body may be nested at most 64 levels deep")
	case err != nil:
		return newProblem(http.StatusBadRequest, "bad_json", "the body is not valid JSON")
	case !utf8.Valid(doc):
		return newProblem(http.StatusUnprocessableEntity, "bad_payload", "the body must be UTF-8")
	case holdsNUL(doc):
		return newProblem(http.StatusUnprocessableEntity, "bad_payload", "the body must not contain the character NUL")
	}
	return nil
}

// holdsNUL reports whether a valid document has the escape of NUL, which not every database keeps.
func holdsNUL(doc []byte) bool {
	nul := []byte(`u0000`)
	for i := 0; i < len(doc); i++ {
		if doc[i] != '\\' {
			continue
		}
		i++ // what is escaped, which may be another backslash
		if bytes.HasPrefix(doc[i:], nul) {
			return true
		}
	}
	return false
}

// namesOf returns the names of the fields in the Body of an input.
func namesOf(input reflect.Type) []string {
	body, _ := input.FieldByName("Body")
	var names []string
	for _, f := range reflect.VisibleFields(body.Type) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// known returns an object without the fields that have none of the names. Anything else is returned as it is.
func known(doc json.RawMessage, names []string) json.RawMessage {
	object, ok := rawjson.Object(doc)
	if !ok {
		return doc
	}
	before := len(object)
	maps.DeleteFunc(object, func(name string, _ json.RawMessage) bool { return !slices.Contains(names, name) })
	if len(object) == before {
		return doc
	}
	return encoded(object, doc)
}

// encoded returns v as JSON, or the text that v was read from.
func encoded(v any, text json.RawMessage) json.RawMessage {
	out, err := rawjson.Encode(v)
	if err != nil {
		return text
	}
	return out
}

// unmarshal is json.Unmarshal for huma. What it reads into an any, only to look at it, may hold numbers of any size:
// they are none of our business inside a message.
func unmarshal(data []byte, v any) error {
	shown, ok := v.(*any)
	if !ok {
		return json.Unmarshal(data, v)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(shown); err != nil {
		return err
	}
	*shown = floats(*shown)
	return nil
}

// floats turns the numbers in v into those that huma knows, infinite where they are too large.
func floats(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, _ := strconv.ParseFloat(string(v), 64) // fails only by being infinite
		return f
	case map[string]any:
		for name, value := range v {
			v[name] = floats(value)
		}
	case []any:
		for i, value := range v {
			v[i] = floats(value)
		}
	}
	return v
}
