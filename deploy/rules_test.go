package deploy_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// alerts is a file of rules.
type alerts struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr, For    string
			Labels, Annotations map[string]string
		}
	}
}

var (
	heading = regexp.MustCompile(`(?m)^##+ (.+)$`)
	moment  = regexp.MustCompile(`^(changes|increase)\(|increase\(`) // looks back by itself
)

// Every alert is about metrics that there are, says what is wrong and what to do, and names a section that exists.
func TestRules(t *testing.T) {
	known := catalogue(t)
	sections := map[string]bool{}
	for _, h := range heading.FindAllStringSubmatch(operations(t), -1) {
		sections["docs/operations.md#"+strings.ReplaceAll(strings.ToLower(h[1]), " ", "-")] = true
	}
	var file alerts
	strict(t, "prometheus/rules.yml", &file)
	seen := map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			for _, w := range wrong(r.Expr, known) {
				t.Errorf("%s: %s\n%s", r.Alert, w, r.Expr)
			}
			if r.Alert == "" || seen[r.Alert] {
				t.Errorf("%s: the alert %q has no name of its own", g.Name, r.Alert)
			}
			seen[r.Alert] = true
			if s := r.Labels["severity"]; s != "critical" && s != "warning" {
				t.Errorf("%s: severity %q", r.Alert, s)
			}
			if r.For == "" && !moment.MatchString(r.Expr) && r.Alert != "RollcallWebhooksAboutToDie" { // that has taken 12 h already
				t.Errorf("%s fires at the first sample", r.Alert)
			}
			if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || !sections[r.Annotations["runbook"]] {
				t.Errorf("%s: summary, description or runbook is missing: %v", r.Alert, r.Annotations)
			}
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d alerts", len(seen))
	}
}

// promtool, of Debian's package prometheus, takes the files for good, and the alerts fire when they should.
func TestPromtool(t *testing.T) {
	var example map[string]any
	strict(t, "prometheus/prometheus.yml", &example)
	dir := t.TempDir()
	key := filepath.Join(dir, "rollcall.key")
	text, err := os.ReadFile("prometheus/prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs("prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	config := strings.NewReplacer("/etc/prometheus/rollcall.key", key, "- rules.yml", "- "+here).Replace(string(text))
	for name, content := range map[string]string{key: "rck_x", filepath.Join(dir, "prometheus.yml"): config} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"check", "rules", "prometheus/rules.yml"}, {"test", "rules", "prometheus/rules_test.yml"}, {"check", "config", filepath.Join(dir, "prometheus.yml")},
	} {
		if out, err := exec.CommandContext(t.Context(), "promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// strict reads a file of YAML, whose keys must be known.
func strict(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}
