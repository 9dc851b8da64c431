package rest

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// operation returns what the document says of a request, nil of one that is no operation. Every answer in the tests of this
// package is compared with it.
func (b *bench) operation(r *http.Request) (op *huma.Operation) {
	path := strings.Split(r.URL.EscapedPath(), "/")
	least := len(path) // names of parameters in the route: the fewer, the nearer
	for route, item := range b.api.OpenAPI().Paths {
		parts, names := strings.Split(route, "/"), 0
		fits := len(parts) == len(path)
		for i := 0; fits && i < len(parts); i++ {
			if strings.HasPrefix(parts[i], "{") {
				names++
				fits = path[i] != "" || i < len(parts)-1 // a route does not end in nothing
			} else {
				fits = parts[i] == path[i]
			}
		}
		of := map[string]*huma.Operation{"GET": item.Get, "HEAD": item.Get, "PUT": item.Put, "POST": item.Post, "PATCH": item.Patch, "DELETE": item.Delete}[r.Method]
		if fits && of != nil && names < least {
			op, least = of, names
		}
	}
	return op
}

// TestDocument: the OpenAPI document lists every route, each with what a reader needs, and every reference leads somewhere.
func TestDocument(t *testing.T) {
	b := open(t, storetest.Open(t, store.SQLite))
	var doc struct {
		OpenAPI string
		Info    struct{ Title, Version string }
		Paths   map[string]map[string]struct {
			Summary   string
			Tags      []string
			Responses map[string]json.RawMessage
		}
		Components struct{ Schemas map[string]json.RawMessage }
	}
	text := b.do("GET", "/openapi.json", "").Body.Bytes()
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") || doc.Info.Title != "rollcall" || doc.Info.Version != "1.2.3" {
		t.Errorf("head: %s %+v", doc.OpenAPI, doc.Info)
	}
	routes := 0
	for _, r := range b.engine.Routes() {
		if !strings.HasPrefix(r.Path, prefix) && r.Path != tokensPath {
			continue
		}
		routes++
		path := strings.NewReplacer(":id", "{id}", ":userId", "{userId}", ":section", "{section}").Replace(r.Path)
		op, ok := doc.Paths[path][strings.ToLower(r.Method)]
		if !ok {
			t.Errorf("%s %s is not in the document", r.Method, path)
			continue
		}
		if op.Summary == "" || len(op.Tags) != 1 || op.Responses["500"] == nil || op.Responses["503"] == nil || len(op.Responses) < 4 {
			t.Errorf("%s %s says too little: %+v", r.Method, path, op)
		}
		if b.names[r.Method+" "+r.Path] == "" {
			t.Errorf("%s %s has no name for metrics", r.Method, path)
		}
	}
	if routes != 46 {
		t.Errorf("%d routes", routes)
	}
	for _, part := range strings.Split(string(text), `"#/components/schemas/`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		if doc.Components.Schemas[name] == nil {
			t.Errorf("the schema %s is missing", name)
		}
	}
	for name := range doc.Components.Schemas {
		if !strings.Contains(string(text), `schemas/`+name+`"`) {
			t.Errorf("the schema %s is not used", name)
		}
	}
}

// TestDocs: the page and what it loads come from here, and the policy lets it load nothing else.
func TestDocs(t *testing.T) {
	b := open(t, storetest.Open(t, store.SQLite))
	for _, path := range []string{"/docs", "/docs/docs.js", "/docs/docs.css"} {
		r := b.do("GET", path, "")
		if r.Code != 200 || !strings.HasPrefix(r.Header().Get("Content-Security-Policy"), "default-src 'self'") {
			t.Errorf("%s: %d %v", path, r.Code, r.Header())
		}
		if strings.Contains(r.Body.String(), "://") {
			t.Errorf("%s names another place", path)
		}
	}
}
