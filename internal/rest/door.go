// Package rest is the HTTP door: it turns requests of the meeting backend and the administrators into calls, and
// results into JSON.
package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"rollcall/internal/auth"
	"rollcall/internal/conference"
	"rollcall/internal/explain"
	"rollcall/internal/message"
	"rollcall/internal/notice"
	"rollcall/internal/peer"
	"rollcall/internal/presence"
	"rollcall/internal/rescue"
	"rollcall/internal/store"
	"rollcall/internal/tracing"
	"rollcall/internal/webhook"
)

// prefix is where the API begins. What lies outside is for operators and browsers.
const prefix = "/api/v1"

// Config is what a Door needs. All of it is required but Auth, Proxies, Origins, NodeID and Net.
type Config struct {
	House    *conference.House
	Presence *presence.Presence
	Notices  *notice.Notices
	Messages *message.Messages
	Webhooks *webhook.Outbox
	Explain  *explain.Explainer
	DB       *store.DB

	Auth              *Auth // nil: everybody may do everything
	RequestsPerSecond int   // of one key or user, or of one address without either; 0 is no limit
	Pprof             bool  // profiles are served under /debug/pprof

	Proxies peer.Proxies
	Origins peer.Origins

	NodeID  string // told by /healthz, so that one sees which node answers behind a balancer
	Version string // of the service, shown in the OpenAPI document

	// Ready answers for /readyz: what was looked at, and nil or what is wrong with it.
	Ready func(ctx context.Context) map[string]error

	Gatherer prometheus.Gatherer
	Metrics  prometheus.Registerer
	Net      *rescue.Net     // catches panics; nil: one of its own
	Tracer   *tracing.Tracer // nil: no traces
	Log      *slog.Logger
}

// Auth is how callers are told apart.
type Auth struct {
	Keys     *auth.Keys
	Sessions *auth.Sessions
	Tokens   *auth.Verifier // nil: nobody has a token
}

// Door serves the API under /api/v1, POST /api, /healthz, /readyz, /metrics, /openapi.json, /docs and, if asked for,
// /debug/pprof. Anything else is a problem document with status 404. Safe for concurrent use.
type Door struct {
	Config
	engine  *gin.Engine
	api     huma.API
	names   map[string]string // operation by method and route; complete when New returns
	meters  meters
	flights flights
	limits  limits
	turns   turns

	patience  time.Duration // how long a client may take to read an answer
	profiling sync.Mutex    // held while a profile is taken
}

// New returns a Door. Idempotency keys are trimmed only while Run runs; everything else works without.
func New(c Config) *Door {
	gin.SetMode(gin.ReleaseMode) // else gin prints every route
	tellNamesApart()
	d := &Door{Config: c, engine: gin.New(), names: map[string]string{}, meters: newMeters(c.Metrics), limits: newLimits(c.RequestsPerSecond), turns: newTurns(), patience: answerPatience}
	if d.Net == nil {
		d.Net = rescue.New(c.Log, nil)
	}
	d.engine.HandleMethodNotAllowed = true
	d.engine.RedirectTrailingSlash = false
	d.engine.UseRawPath = true // an escaped slash belongs to an id, and is refused there
	d.engine.Use(d.observe, d.admit)
	d.engine.NoRoute(func(c *gin.Context) { refuse(c, newProblem(http.StatusNotFound, "not_found", "there is nothing here")) })
	d.engine.NoMethod(func(c *gin.Context) {
		refuse(c, newProblem(http.StatusMethodNotAllowed, "method_not_allowed", "this cannot be done here"))
	})
	format := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: unmarshal}
	d.api = humagin.New(d.engine, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI:    "3.1.0",
			Info:       &huma.Info{Title: "rollcall", Version: c.Version, Description: "Who is in which meeting, what its tree says, and what was said to whom."},
			Components: &huma.Components{Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer), SecuritySchemes: securitySchemes},
			Tags:       tags,
		},
		Formats:                      map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{asProblem},
	})
	d.users()
	d.conferences()
	d.members()
	d.trees()
	d.timers()
	d.presences()
	d.attendances()
	d.kicks()
	d.pushes()
	d.tokens()
	d.notices()
	d.posts()
	d.inboxes()
	d.explains()
	d.webhooks()
	d.sessions()
	d.operators()
	return d
}

// operators adds the routes that are no part of the API.
func (d *Door) operators() {
	d.plain("health", "/healthz", d.healthz)
	d.plain("ready", "/readyz", d.readyz)
	d.plain("metrics", "/metrics", d.behind(viewer, gin.WrapH(promhttp.HandlerFor(d.Gatherer, promhttp.HandlerOpts{}))))
	if d.Pprof {
		d.profiles()
	}
	for _, theirs := range []string{"ErrorModel", "ErrorDetail"} { // huma puts them there; our problems are another type
		delete(d.api.OpenAPI().Components.Schemas.Map(), theirs)
	}
	document, err := json.Marshal(d.api.OpenAPI())
	if err != nil {
		panic(fmt.Sprintf("encode OpenAPI document: %v", err)) // it does not depend on input: no test would pass
	}
	d.plain("openapi", "/openapi.json", func(c *gin.Context) {
		c.Data(http.StatusOK, "application/openapi+json", document)
	})
	d.docs()
}

// plain adds a GET route that is not in the OpenAPI document.
func (d *Door) plain(name, path string, handle gin.HandlerFunc) {
	d.names[http.MethodGet+" "+path] = name
	d.engine.GET(path, handle)
}

// ServeHTTP implements http.Handler.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := &visit{request: r, address: d.Proxies.Address(r), header: w.Header(), patience: d.patience, unread: r.ContentLength != 0}
	r = r.WithContext(context.WithValue(r.Context(), visitKey{}, v))
	if r.Method == http.MethodHead { // whoever serves w leaves the body out
		r.Method = http.MethodGet
	}
	d.engine.ServeHTTP(&outlet{w, v}, r)
}
