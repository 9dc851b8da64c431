// Package deploy_test holds dashboard and alerts against the metrics of the real program. It is a module of its own, so that the
// parser of PromQL is no dependency of the service.
package deploy_test

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// metric is what may be asked about a metric. Values is the text that names the values of its labels, "" when nothing does.
type metric struct {
	labels []string
	values string
}

// scraped are the labels that Prometheus itself adds.
var scraped = []string{"job", "instance"}

var (
	row  = regexp.MustCompile("(?m)^\\| (`rollcall_[^|]*) \\| (gauge|counter|histogram) \\| (.*) \\|$")
	name = regexp.MustCompile("`(rollcall_[a-z_]+)(?:\\{([a-z,]+)\\})?`")
)

// catalogue returns all metrics by the names that queries use. Those of docs/operations.md are all of our own, which a test of
// cmd/server proves; those of runtime and process are asked from a server.
func catalogue(t *testing.T) map[string]metric {
	t.Helper()
	all := map[string]metric{"up": {}}
	add := func(name string, histogram bool, m metric) {
		m.labels = slices.Concat(m.labels, scraped)
		if !histogram {
			all[name] = m
			return
		}
		all[name+"_sum"], all[name+"_count"] = m, m
		m.labels = append(slices.Clone(m.labels), "le")
		all[name+"_bucket"] = m
	}
	for _, r := range row.FindAllStringSubmatch(operations(t), -1) {
		for _, n := range name.FindAllStringSubmatch(r[1], -1) {
			add(n[1], r[2] == "histogram", metric{labels: strings.FieldsFunc(n[2], func(c rune) bool { return c == ',' }), values: r[3]})
		}
	}
	for name, f := range served(t) {
		if strings.HasPrefix(name, "rollcall_go_") || strings.HasPrefix(name, "rollcall_process_") {
			add(name, f.GetType() == dto.MetricType_HISTOGRAM || f.GetType() == dto.MetricType_SUMMARY, metric{})
		} else if all[name].labels == nil && all[name+"_count"].labels == nil {
			t.Errorf("the server has %s, and docs/operations.md has not", name)
		}
	}
	return all
}

func operations(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var opened = regexp.MustCompile(`rollcall is open.* metrics=(\S+)`)

// served starts a server and returns what its /metrics has.
func served(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server := exec.CommandContext(ctx, program, "-http.addr", "127.0.0.1:0", "-shutdown.drain", "0s")
	server.Dir = t.TempDir()
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Wait() }()
	defer cancel()
	for log := bufio.NewScanner(stderr); log.Scan(); {
		if m := opened.FindStringSubmatch(log.Text()); m != nil {
			return scrape(t, m[1])
		}
	}
	t.Fatal("the server did not open")
	return nil
}

func scrape(t *testing.T, url string) map[string]*dto.MetricFamily {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var text expfmt.TextParser
	families, err := text.TextToMetricFamilies(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// wrong returns what a query asks that no server answers: metrics, labels, and values of labels that are not there.
func wrong(query string, known map[string]metric) (found []string) {
	expr, err := parser.ParseExpr(query)
	if err != nil {
		return []string{err.Error()}
	}
	var made []string // labels of all metrics below an aggregation
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		s, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		m, ok := known[s.Name]
		if !ok {
			found = append(found, "there is no metric "+s.Name)
			return nil
		}
		made = append(made, m.labels...)
		if s.Name != "up" {
			found = append(found, strange(s, m)...)
		}
		return nil
	})
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		a, ok := n.(*parser.AggregateExpr)
		if !ok || len(made) == 0 {
			return nil
		}
		for _, label := range a.Grouping {
			if !slices.Contains(made, label) {
				found = append(found, "nothing in it has a label "+label)
			}
		}
		return nil
	})
	return found
}

var plainValue = regexp.MustCompile(`^[a-z_]+(\|[a-z_]+)*$`)

// strange returns the labels of a selector that its metric has not, and the values that its description does not name. What
// operations are called is not part of it, nor is a pattern such as 5...
func strange(s *parser.VectorSelector, m metric) (found []string) {
	for _, l := range s.LabelMatchers {
		switch {
		case l.Name == labels.MetricName:
		case !slices.Contains(m.labels, l.Name):
			found = append(found, s.Name+" has no label "+l.Name)
		case l.Name == "operation" || slices.Contains(scraped, l.Name) || !plainValue.MatchString(l.Value):
		default:
			for value := range strings.SplitSeq(l.Value, "|") {
				if !strings.Contains(m.values, "`"+value+"`") {
					found = append(found, s.Name+": docs/operations.md names no "+l.Name+" "+value)
				}
			}
		}
	}
	return found
}

// What is wrong with a query is found where it is planted.
func TestWrongQueriesAreCaught(t *testing.T) {
	known := map[string]metric{
		"up": {}, "rollcall_a_total": {labels: []string{"outcome", "instance"}, values: "`sent`, `failed`"},
		"rollcall_h_bucket": {labels: []string{"instance", "le"}},
	}
	for query, want := range map[string]string{
		`rate(rollcall_a_total{outcome="sent"}[5m])`:                            "",
		`sum by (outcome) (rate(rollcall_a_total{outcome=~"sent|failed"}[5m]))`: "",
		`histogram_quantile(0.9, sum by (le) (rate(rollcall_h_bucket[5m])))`:    "",
		`up{job="rollcall"} == 0`:                                               "",
		`rate(rollcall_b_total[5m])`:                                            "no metric rollcall_b_total",
		`rate(rollcall_h[5m])`:                                                  "no metric rollcall_h",
		`rollcall_a_total{result="sent"}`:                                       "no label result",
		`sum without (kind) (rollcall_a_total)`:                                 "a label kind",
		`rollcall_a_total{outcome="snet"}`:                                      "no outcome snet",
		`rollcall_a_total{outcome!~"sent|lost"}`:                                "no outcome lost",
		`sum(rate(rollcall_a_total[5m])`:                                        "unclosed left parenthesis",
		`rate(rollcall_a_total)`:                                                "expected type range vector",
	} {
		if got := strings.Join(wrong(query, known), "; "); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: found %q, want %q", query, got, want)
		}
	}
}
