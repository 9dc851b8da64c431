package deploy_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// dashboard is what the tests look at of a dashboard of Grafana.
type dashboard struct {
	UID, Title string
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
	Panels []panel
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               struct{ UID string }
	GridPos                  struct{ X, Y, W, H int }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Targets                  []struct {
		Expr       string
		Datasource struct{ UID string }
	}
}

var (
	duration    = regexp.MustCompile(`\$__rate_interval|\$__interval`)
	labelValues = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)
)

// Every query of the dashboard is about metrics and labels that there are, and goes to the chosen data source and nodes.
func TestDashboardQueries(t *testing.T) {
	known := catalogue(t)
	d := readDashboard(t)
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			for _, w := range wrong(duration.ReplaceAllString(q.Expr, "5m"), known) {
				t.Errorf("%s: %s\n%s", p.Title, w, q.Expr)
			}
			if n := strings.Count(q.Expr, "rollcall_"); n != strings.Count(q.Expr, `job=~"$job",instance=~"$instance"`) {
				t.Errorf("%s: a selector does not choose by $job and $instance\n%s", p.Title, q.Expr)
			}
			if q.Datasource.UID != "${datasource}" {
				t.Errorf("%s: the data source is %q", p.Title, q.Datasource.UID)
			}
		}
	}
	for _, v := range d.Templating.List {
		if v.Type != "query" {
			continue
		}
		m := labelValues.FindStringSubmatch(v.Definition)
		if m == nil {
			t.Errorf("variable %s: %s", v.Name, v.Definition)
			continue
		}
		for _, w := range wrong("count by ("+m[2]+") ("+m[1]+")", known) {
			t.Errorf("variable %s: %s", v.Name, w)
		}
	}
}

// Panels can be told apart and understood, and none lies on another.
func TestDashboardPanels(t *testing.T) {
	d := readDashboard(t)
	if d.UID != "rollcall" || d.Title == "" {
		t.Errorf("uid %q, title %q", d.UID, d.Title)
	}
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
	}
	if got := strings.Join(variables, " "); got != "datasource job instance" {
		t.Errorf("variables %s", got)
	}
	ids, titles, taken := map[int]bool{}, map[string]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if p.ID == 0 || ids[p.ID] || p.Title == "" || titles[p.Title] {
			t.Errorf("panel %d %q has no id or title of its own", p.ID, p.Title)
		}
		ids[p.ID], titles[p.Title] = true, true
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other := taken[at]; other != "" || at[0] >= 24 {
					t.Fatalf("%s lies on %q, or beside the grid", p.Title, other)
				}
				taken[at] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("%s lacks a description, a unit, a query or the data source", p.Title)
		}
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile("grafana/rollcall.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Panels) == 0 {
		t.Fatal("it has no panels")
	}
	return d
}
