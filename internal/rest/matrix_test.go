package rest

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/auth"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// roles says of every operation who may call it. It is written by hand, not read from the code: a role that changes there
// has to be changed here as well, by somebody who means it. "own" is a viewer, or the user himself; "own+" a backend, or he.
var roles = map[string]string{
	"put-user": "backend", "post-users": "backend", "delete-user": "admin",
	"put-conference": "backend", "get-conference": "viewer", "list-conferences": "viewer", "delete-conference": "admin",
	"put-members": "backend", "post-members": "backend", "list-members": "viewer", "delete-member": "backend",
	"get-tree": "viewer", "patch-tree": "backend", "post-tree": "backend", "put-section": "backend", "push-tree": "backend",
	"command-timer": "backend", "sign-in": "backend", "same-screen": "backend",
	"get-conference-presence": "viewer", "get-user-presence": "viewer", "list-presence": "viewer", "query-presence": "viewer", "get-summary": "viewer",
	"get-attendance": "viewer", "kick-user": "admin", "disconnect-session": "admin", "list-nodes": "viewer", "purge-node": "admin",
	"push": "backend", "push-all": "backend", "deliver": "backend",
	"list-notices": "viewer", "get-notice": "viewer", "list-deliveries": "viewer", "export-notices": "viewer", "post-notice": "backend", "delete-notice": "backend",
	"get-inbox": "own", "read-inbox": "own+", "explain": "viewer",
	"list-webhook-deliveries": "viewer", "replay-webhook-delivery": "admin",
	"log-in": "open", "get-session": "viewer", "log-out": "open",
}

// asker is a column of the matrix: somebody who calls everything. The headers are made for each call anew.
type asker struct {
	name   string
	role   auth.Role // None: a credential that is none
	user   string    // of role User
	cookie bool      // he comes with a cookie, and
	proves bool      // with what proves that a page of ours sent it
	header func() []string
}

func (b *bench) askers() []asker {
	token := func(user string, lasts time.Duration) func() []string {
		return func() []string { return []string{"Authorization", "Bearer " + tokenOf(b.t, user, tokenSecret, lasts)} }
	}
	session := func(proves bool) func() []string {
		return func() []string {
			cookie, csrf := b.loggedIn(auth.Backend)
			if proves {
				return []string{"Cookie", cookie, csrfHeader, csrf}
			}
			return []string{"Cookie", cookie}
		}
	}
	fixed := func(header ...string) func() []string { return func() []string { return header } }
	return []asker{
		{name: "no key", header: fixed()},
		{name: "wrong key", header: fixed("Authorization", "Bearer rck_nobody_has_this")},
		{name: "wrong key in X-API-Key", header: fixed("X-API-Key", "rck_nobody_has_this")},
		{name: "viewer", role: auth.Viewer, header: fixed(by(auth.Viewer)...)},
		{name: "backend", role: auth.Backend, header: fixed(by(auth.Backend)...)},
		{name: "admin", role: auth.Admin, header: fixed(by(auth.Admin)...)},
		{name: "backend in X-API-Key", role: auth.Backend, header: fixed("X-API-Key", keyOfRole(auth.Backend))},
		{name: "own token", role: auth.User, user: "7", header: token("7", time.Hour)},
		{name: "token of another user", role: auth.User, user: "8", header: token("8", time.Hour)},
		{name: "expired token", header: token("7", -time.Minute)},
		{name: "token signed by a stranger", header: fixed("Authorization", "Bearer "+tokenOf(b.t, "7", tokenSecret+"!", time.Hour))},
		{name: "token in X-API-Key", header: fixed("X-API-Key", tokenOf(b.t, "7", tokenSecret, time.Hour))},
		{name: "session", role: auth.Backend, cookie: true, proves: true, header: session(true)},
		{name: "session without CSRF token", role: auth.Backend, cookie: true, header: session(false)},
		{name: "session of nobody", header: fixed("Cookie", sessionCookie+"="+strings.Repeat("x", 43))},
	}
}

// expected returns the status and code with which somebody is refused, "" if he is not.
func (a asker) expected(method, id string) string {
	needs := map[string]auth.Role{"viewer": auth.Viewer, "own": auth.Viewer, "backend": auth.Backend, "own+": auth.Backend, "admin": auth.Admin}[roles[id]]
	unproven := a.cookie && !a.proves && method != http.MethodGet
	switch {
	case id == "log-out" && unproven:
		return "403 csrf"
	case id == "log-in": // its own key decides, and the body of the matrix holds none
		return ""
	case roles[id] == "open":
		return ""
	case a.role == auth.None:
		return "401 unauthorized"
	case unproven:
		return "403 csrf"
	case a.role == auth.User && strings.HasPrefix(roles[id], "own") && a.user == "7":
		return ""
	case a.role < needs:
		return "403 forbidden"
	}
	return ""
}

// unreadBody is the body of a request that is noticed when it is read.
type unreadBody struct {
	*strings.Reader
	read bool
}

func (u *unreadBody) Read(b []byte) (int, error) {
	u.read = true
	return u.Reader.Read(b)
}

// operations are all calls that the document knows, so that a new one cannot be forgotten.
func (b *bench) operations() (list []*huma.Operation) {
	paths := b.api.OpenAPI().Paths
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item := paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Put, item.Post, item.Patch, item.Delete} {
			if op != nil {
				list = append(list, op)
			}
		}
	}
	return list
}

// TestMatrix is every operation by everybody: who is nobody gets 401, who may not gets 403 before his body is read, and who
// may is answered as documented, be it that there is nothing.
func TestMatrix(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := openLocked(t, db)
		cells, wrong := 0, 0
		operations := b.operations()
		if len(operations) != len(roles) {
			t.Errorf("%d operations, %d in the table", len(operations), len(roles))
		}
		fill := strings.NewReplacer("{id}", "7", "{userId}", "7", "{section}", "topicInfo")
		for _, a := range b.askers() {
			for _, op := range operations {
				cells++
				if roles[op.OperationID] == "" {
					t.Errorf("nobody said who may call %s", op.OperationID)
				}
				body := &unreadBody{Reader: strings.NewReader("{}")}
				r := httptest.NewRequest(op.Method, fill.Replace(op.Path), body)
				r.RemoteAddr = "10.0." + itoa(cells/250) + "." + itoa(cells%250) + ":1" // logins of one address are few
				header := a.header()
				for i := 0; i < len(header); i += 2 {
					r.Header.Set(header[i], header[i+1])
				}
				want, got := a.expected(op.Method, op.OperationID), b.serve(r)
				if want == "" && op.OperationID == "log-in" {
					isProblem(t, got, "422 bad_payload")
					continue
				}
				if want == "" && got.Code != http.StatusUnauthorized && got.Code != http.StatusForbidden && got.Code < 500 {
					continue
				}
				if want == "" || body.read || !strings.HasPrefix(want, itoa(got.Code)) || got.fields["code"] != want[4:] || (got.Code == http.StatusUnauthorized) != (got.Header().Get("WWW-Authenticate") != "") {
					wrong++
					t.Errorf("%s by %s: %d %s (body read: %v), want %q", op.OperationID, a.name, got.Code, got.Body, body.read, want)
				}
			}
		}
		storetest.Show(t, "%d operations by %d kinds of callers: %d cells, %d wrong", len(operations), len(b.askers()), cells, wrong)
	})
}

// TestRolesAreTold: the document says of each operation who may call it, and how he says who he is.
func TestRolesAreTold(t *testing.T) {
	b := openLocked(t, storetest.Open(t, store.SQLite))
	told := map[string]string{"viewer": "Role viewer.", "backend": "Role backend.", "admin": "Role admin.", "own": "Role viewer, or the user's own token.", "own+": "Role backend, or the user's own token.", "open": "Needs no role."}
	for _, op := range b.operations() {
		if want := told[roles[op.OperationID]]; !strings.HasSuffix(op.Description, want) {
			t.Errorf("%s: %q does not end with %q", op.OperationID, op.Description, want)
		}
		for _, status := range []string{"401", "403", "429"} {
			if op.Responses[status] == nil {
				t.Errorf("%s does not say that it may answer %s", op.OperationID, status)
			}
		}
		ways := 3
		if roles[op.OperationID] == "open" {
			ways = 0
		}
		if len(op.Security) != ways {
			t.Errorf("%s: security %v", op.OperationID, op.Security)
		}
		for _, way := range op.Security {
			if _, csrf := way["csrf"]; way["session"] != nil && csrf != (op.Method != http.MethodGet) {
				t.Errorf("%s: %v", op.OperationID, way)
			}
		}
	}
	text := b.do("GET", "/openapi.json", "").Body.String()
	holds(t, text, `"securitySchemes":`, `"scheme":"bearer"`, `"name":"X-API-Key"`, `"name":"rollcall_session"`, `"name":"X-CSRF-Token"`)
}

// TestOutsideMatrix: what is no part of the API is public, but for what tells how the house is doing inside.
func TestOutsideMatrix(t *testing.T) {
	b := openLocked(t, storetest.Open(t, store.SQLite), func(c *Config) { c.Pprof = true })
	wants := map[string]auth.Role{
		"/healthz": auth.None, "/readyz": auth.None, "/openapi.json": auth.None, "/docs": auth.None, "/docs/docs.js": auth.None,
		"/metrics": auth.Viewer, "/debug/pprof/": auth.Admin, "/debug/pprof/heap": auth.Admin, "/debug/pprof/symbol": auth.Admin,
		"/debug/pprof/profile?seconds=1": auth.Admin, "/debug/pprof/trace?seconds=1": auth.Admin,
	}
	for path, role := range wants {
		for _, a := range b.askers() {
			want := 200
			switch {
			case a.role == auth.None && role != auth.None:
				want = 401
			case a.role < role:
				want = 403
			}
			r := b.do("GET", path, "", a.header()...)
			if r.Code != want {
				t.Errorf("%s by %s: %d, want %d", path, a.name, r.Code, want)
			}
			if want > 400 {
				isProblem(t, r, map[int]string{401: "401 unauthorized", 403: "403 forbidden"}[want])
			}
		}
	}
	isProblem(t, b.do("GET", "/debug/pprof/cmdline", "", by(auth.Admin)...), "404 not_found")
	for _, seconds := range []string{"0", "-1", "0.5", "601", "1e1", "x"} {
		isProblem(t, b.do("GET", "/debug/pprof/heap?seconds="+seconds, "", by(auth.Admin)...), "422 bad_payload")
	}
	b.profiling.Lock()
	isProblem(t, b.do("GET", "/debug/pprof/heap", "", by(auth.Admin)...), "409 conflict")
	without := openLocked(t, storetest.Open(t, store.SQLite))
	isProblem(t, without.do("GET", "/debug/pprof/heap", "", by(auth.Admin)...), "404 not_found")
}
