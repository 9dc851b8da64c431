package rest

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/auth"
	"rollcall/internal/throttle"
)

// The roles of API keys, for the tables of operations.
const (
	viewer  = auth.Viewer
	backend = auth.Backend
	admin   = auth.Admin
)

// tags group the operations in the document.
var tags = []*huma.Tag{
	{Name: "users", Description: "Names of people"},
	{Name: "conferences", Description: "Meetings and who belongs to them"},
	{Name: "tree", Description: "What a meeting shows to everybody in it"},
	{Name: "presence", Description: "Who is there, and who has to go"},
	{Name: "push", Description: "Messages to people who are online"},
	{Name: "notices", Description: "What is said to whom, and the log of it"},
	{Name: "inbox", Description: "What a user has not read yet, and what he has"},
	{Name: "webhooks", Description: "What the meeting backend is told, and what became of it"},
	{Name: "nodes", Description: "The processes of this service"},
	{Name: "session", Description: "Logins at the console"},
}

// operation is one call of the API.
type operation struct {
	id, method, path string // path without the prefix
	outside          bool   // of the prefix
	role             auth.Role
	own              bool               // a user whose id is in the path may do it with his token
	open             bool               // to everybody, who proves in the call itself that he may; it has no role
	bound            *throttle.Throttle // of an open one: how often an address may call it
	unkept           bool               // nothing of it may be written down, so it heeds no Idempotency-Key
	unlimited        bool               // it is for monitoring
	tag, summary     string
	detail           string
	status           int   // of success; 0 is 200
	also             []int // other answers that are no errors: 201, 304
	body             bodyKind
	names            []string // of the fields of a loose body; register knows them
	errors           []int    // beyond those that every operation of its kind has
}

// answer is what a handler returns: Status 0 is the operation's own.
type answer[B any] struct {
	Status   int
	ETag     string `header:"ETag" hidden:"true"`
	Replayed string `header:"Idempotency-Replayed" hidden:"true"`
	Body     B
}

func ok[B any](body B) *answer[B] { return &answer[B]{Body: body} }

// made answers a PUT or POST, which may have created something.
func made[B any](created bool, body B) *answer[B] {
	if created {
		return &answer[B]{Status: http.StatusCreated, Body: body}
	}
	return ok(body)
}

// Paging is what every list understands.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"Items of one page"`
	Cursor string `query:"cursor" maxLength:"512" doc:"What the page before gave as next"`
}

// page is one page of a list. Next is null at the end.
type page[T any] struct {
	Items []T     `json:"items" nullable:"false"`
	Next  *string `json:"next" doc:"Cursor of the next page; null at the end"`
}

func pageOf[T any](items []T, next string) *answer[page[T]] {
	p := page[T]{Items: items}
	if next != "" {
		p.Next = &next
	}
	return ok(p)
}

// repeatable reports whether the operation heeds Idempotency-Key.
func (o operation) repeatable() bool {
	return !o.unkept && (o.method == http.MethodPost || o.method == http.MethodPatch)
}

// describe returns what huma and the document need to know.
func (o operation) describe(r huma.Registry) huma.Operation {
	if o.status == 0 {
		o.status = http.StatusOK
	}
	op := huma.Operation{
		OperationID: o.id, Method: o.method, Path: o.path, Tags: []string{o.tag}, Summary: o.summary, Description: strings.TrimSpace(o.detail + " " + o.access()),
		Security: o.security(), DefaultStatus: o.status, SkipValidateBody: o.body == verbatim, MaxBodyBytes: -1, BodyReadTimeout: -1, // screen has read the body
		Responses: map[string]*huma.Response{},
	}
	failed := huma.Response{Content: map[string]*huma.MediaType{problemType: {Schema: r.Schema(reflect.TypeFor[problem](), true, "")}}}
	for _, status := range o.failures() {
		f := failed
		f.Description = http.StatusText(status)
		op.Responses[strconv.Itoa(status)] = &f
	}
	if o.repeatable() {
		op.Parameters = append(op.Parameters, &huma.Param{
			Name: "Idempotency-Key", In: "header", Schema: &huma.Schema{Type: huma.TypeString},
			Description: "1 to 255 printable ASCII characters. The same key with the same body gives the first answer again for 24 hours.",
		})
	}
	return op
}

// securitySchemes are the ways to say who one is.
var securitySchemes = map[string]*huma.SecurityScheme{
	"bearer":  {Type: "http", Scheme: "bearer", Description: "An API key; for a user's own inbox also the token that his socket has"},
	"key":     {Type: "apiKey", In: "header", Name: "X-API-Key", Description: "An API key"},
	"session": {Type: "apiKey", In: "cookie", Name: sessionCookie, Description: "A login at the console; it counts for pages of this service only"},
	"csrf":    {Type: "apiKey", In: "header", Name: csrfHeader, Description: "What POST and GET /session tell; goes with the cookie when something is to change"},
}

// security says which of them the operation takes.
func (o operation) security() []map[string][]string {
	if o.open {
		return nil
	}
	login := map[string][]string{"session": {}}
	if o.method != http.MethodGet {
		login["csrf"] = []string{}
	}
	return []map[string][]string{{"bearer": {}}, {"key": {}}, login}
}

// access says the same to people.
func (o operation) access() string {
	switch {
	case o.open:
		return "Needs no role."
	case o.own:
		return "Role " + o.role.String() + ", or the user's own token."
	}
	return "Role " + o.role.String() + "."
}

// failures are the statuses of all problems that the operation may answer with.
func (o operation) failures() []int {
	list := append([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable}, o.errors...)
	if o.body != noBody {
		list = append(list, http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	if o.repeatable() {
		list = append(list, http.StatusConflict)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// checker is an input that can be wrong in ways that a schema cannot say.
type checker interface{ check() error }

// foresight is an input for which something is looked up, and kept for a while, before the transaction of its key begins:
// whoever is asked may take long, and nobody is to wait for a lock meanwhile.
type foresight interface {
	foresee(ctx context.Context, d *Door)
}

// register adds an operation that answers with a body.
func register[I, B any](d *Door, o operation, handle func(context.Context, *I) (*answer[B], error)) {
	if o.body == loose {
		o.names = namesOf(reflect.TypeFor[I]())
	}
	op := d.begin(&o)
	huma.Register(d.api, op, func(ctx context.Context, in *I) (*answer[B], error) {
		run := func(ctx context.Context) (*answer[B], error) {
			out, err := handle(ctx, in)
			if err == nil && out.Status == 0 {
				out.Status = op.DefaultStatus
			}
			return out, err
		}
		v := visitOf(ctx)
		out, err := (*answer[B])(nil), check(in)
		switch {
		case err != nil:
		case v.key != nil:
			if f, ok := any(in).(foresight); ok {
				f.foresee(ctx, d)
			}
			out, err = once(ctx, d, *v.key, run)
		default:
			out, err = run(ctx)
		}
		if err != nil {
			v.failure = err
			return nil, problemOf(err)
		}
		return out, nil
	})
	d.finish(o, op)
}

// registerDelete adds an operation that answers with 204.
func registerDelete[I any](d *Door, o operation, handle func(context.Context, *I) error) {
	o.method, o.status = http.MethodDelete, http.StatusNoContent
	op := d.begin(&o)
	huma.Register(d.api, op, func(ctx context.Context, in *I) (*struct{}, error) {
		if err := handle(ctx, in); err != nil {
			visitOf(ctx).failure = err
			return nil, problemOf(err)
		}
		return nil, nil //nolint:nilnil // how huma is told that there is no body
	})
	d.finish(o, op)
}

func check(in any) error {
	if c, ok := in.(checker); ok {
		return c.check()
	}
	return nil
}

// begin completes o and describes it.
func (d *Door) begin(o *operation) huma.Operation {
	if !o.outside {
		o.path = prefix + o.path
	}
	op := o.describe(d.api.OpenAPI().Components.Schemas)
	op.Middlewares = huma.Middlewares{d.screen(*o)}
	if o.body == verbatim {
		op.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{}}
	}
	d.names[o.method+" "+strings.NewReplacer("{", ":", "}", "").Replace(o.path)] = o.id
	return op
}

// finish corrects what huma could not know about an operation.
func (d *Door) finish(o operation, op huma.Operation) {
	for _, status := range o.also {
		r := &huma.Response{Description: http.StatusText(status)}
		if status == http.StatusCreated {
			r.Content = op.Responses[strconv.Itoa(op.DefaultStatus)].Content
		}
		op.Responses[strconv.Itoa(status)] = r
	}
	if o.body == verbatim {
		op.RequestBody.Content["application/json"].Schema = sectionSchema(o.method == http.MethodPut)
	}
}
