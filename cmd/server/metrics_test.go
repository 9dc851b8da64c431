package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"rollcall/internal/config"
	"rollcall/internal/storetest"
)

var (
	metricRow  = regexp.MustCompile("(?m)^\\| (`rollcall_[^|]*) \\| (gauge|counter|histogram) \\|")
	metricName = regexp.MustCompile("`(rollcall_[a-z_]+)(?:\\{([a-z,]+)\\})?`")
	described  = regexp.MustCompile(`fqName: "([^"]+)".*constLabels: \{([^}]*)\}.*variableLabels: \{([^}]*)\}`)
	labelValue = regexp.MustCompile(`="[^"]*"`)
)

// The table in docs/operations.md names every metric of the program with its labels, and no other. Dashboard and alerts in
// deploy/ are held against that table.
func TestMetricsAreDocumented(t *testing.T) {
	root, err := storetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented, kinds := map[string]string{}, map[string]string{}
	for _, row := range metricRow.FindAllStringSubmatch(string(text), -1) {
		for _, m := range metricName.FindAllStringSubmatch(row[1], -1) {
			documented[m[1]], kinds[m[1]] = m[2], row[2]
		}
	}
	p := everything(t)
	p.routes().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/healthz", http.NoBody)) // a metric with a label has no kind before
	if diff := cmp.Diff(documented, registered(p.registry)); diff != "" {
		t.Errorf("metrics and their labels (-documented +real):\n%s", diff)
	}
	families, err := p.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if kind, ok := kinds[f.GetName()]; ok && kind != strings.ToLower(f.GetType().String()) {
			t.Errorf("%s is documented as a %s and is a %s", f.GetName(), kind, f.GetType())
		}
	}
}

// everything is a program that does not run, with all parts that have metrics.
func everything(t *testing.T) *program {
	t.Helper()
	c, err := config.Load(config.Source{Overrides: map[string]string{
		"database.dsn": filepath.Join(t.TempDir(), "r.db"), "redis.addr": "127.0.0.1:1",
		"auth.mode": "jwt", "auth.hs256_secret": strings.Repeat("x", 32), "auth.introspect_url": "http://127.0.0.1:1",
	}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := build(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

// registered returns the labels of each metric, but for those of the runtime and the process.
func registered(r *prometheus.Registry) map[string]string {
	found := map[string]string{}
	descriptions := make(chan *prometheus.Desc)
	go func() {
		r.Describe(descriptions)
		close(descriptions)
	}()
	for d := range descriptions {
		m := described.FindStringSubmatch(d.String())
		if m == nil || strings.HasPrefix(m[1], "rollcall_go_") || strings.HasPrefix(m[1], "rollcall_process_") {
			continue
		}
		found[m[1]] = labelValue.ReplaceAllString(m[2], "") + m[3] // no metric has both
	}
	return found
}
