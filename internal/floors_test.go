// Package internal_test holds the laws of the house as tests: who may import whom, and how code must look.
package internal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/internal/storetest"
)

const module = "rollcall"

// floors says on which floor each package stands. A package imports from floors below its own only. Floor 0 has a
// step down, -1: words that the others on floor 0 are made of.
var floors = map[string]int{
	"internal/fault":     -1,
	"internal/id":        -1,
	"internal/peer":      -1,
	"internal/rawjson":   -1,
	"internal/complaint": -1,
	"internal/crew":      -1,
	"internal/hall":      -1,
	"internal/rescue":    -1,
	"internal/throttle":  -1,

	"examples/go": -1, // a backend elsewhere, which has nothing of ours

	"internal/config":  0,
	"internal/store":   0,
	"internal/tracing": 0,

	"internal/auth":     1,
	"internal/cluster":  1,
	"internal/notice":   1,
	"internal/presence": 1,
	"internal/webhook":  1,
	"sql":               1,

	"internal/conference": 2,
	"internal/explain":    2,
	"internal/message":    2,

	"internal/rest":   3,
	"internal/socket": 3,
	"web":             3,

	"cmd/server": 4,
}

// testsOnly are the packages that stand on no floor, because only tests import them.
var testsOnly = []string{"internal", "internal/clienttest", "internal/plantest", "internal/servertest", "internal/storetest", "test/chaos", "test/docs", "test/examples", "test/pages", "test/report", "test/sdk", "test/system"}

// pkg is what go list says of a package. Imports are those of its code, without its tests.
type pkg struct {
	ImportPath string
	Imports    []string
}

func TestFloors(t *testing.T) {
	for _, offence := range climbs(listed(t), floors, testsOnly) {
		t.Error(offence)
	}
}

// listed returns the packages of this module.
func listed(t *testing.T) []pkg {
	t.Helper()
	root, err := storetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Imports", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		all = append(all, p)
	}
}

// climbs returns what is wrong with the imports of packages: one line each.
func climbs(packages []pkg, floors map[string]int, testsOnly []string) []string {
	var offences []string
	missing := map[string]bool{}
	for name := range floors {
		missing[name] = true
	}
	for _, p := range packages {
		name := within(p.ImportPath)
		delete(missing, name)
		floor, known := floors[name]
		if !known && !slices.Contains(testsOnly, name) {
			offences = append(offences, fmt.Sprintf("%s stands on no floor: add it to floors_test.go", name))
			continue
		}
		for _, path := range p.Imports {
			target := within(path)
			if target == "" {
				continue // not of this module
			}
			switch below, stands := floors[target]; {
			case !known:
				// A package for tests may import anything.
			case slices.Contains(testsOnly, target):
				offences = append(offences, fmt.Sprintf("%s imports %s, which is for tests only", name, target))
			case stands && below == floor:
				offences = append(offences, fmt.Sprintf("%s imports its neighbour %s on floor %d", name, target, floor))
			case stands && below > floor:
				offences = append(offences, fmt.Sprintf("%s on floor %d imports upward %s on floor %d", name, floor, target, below))
			}
		}
	}
	for name := range missing {
		offences = append(offences, fmt.Sprintf("%s is in floors_test.go and nowhere else", name))
	}
	return offences
}

// within returns a path as it is written in floors, or "" when it is not of this module.
func within(path string) string {
	name, ours := strings.CutPrefix(path, module+"/")
	if !ours {
		return ""
	}
	return name
}

func TestClimbsAreCaught(t *testing.T) {
	floors := map[string]int{"low": 0, "lower": 0, "high": 1}
	for _, c := range []struct {
		name     string
		packages []pkg
		want     []string
	}{
		{"downward is the way", []pkg{{"rollcall/low", []string{"fmt"}}, {"rollcall/lower", nil}, {"rollcall/high", []string{"rollcall/low", "rollcall/lower"}}}, nil},
		{"upward", []pkg{{"rollcall/low", []string{"rollcall/high"}}, {"rollcall/lower", nil}, {"rollcall/high", nil}},
			[]string{"low on floor 0 imports upward high on floor 1"}},
		{"neighbour", []pkg{{"rollcall/low", []string{"rollcall/lower"}}, {"rollcall/lower", nil}, {"rollcall/high", nil}},
			[]string{"low imports its neighbour lower on floor 0"}},
		{"unknown", []pkg{{"rollcall/low", nil}, {"rollcall/lower", nil}, {"rollcall/high", nil}, {"rollcall/new", nil}},
			[]string{"new stands on no floor: add it to floors_test.go"}},
		{"test code in the product", []pkg{{"rollcall/low", []string{"rollcall/try"}}, {"rollcall/lower", nil}, {"rollcall/high", nil}, {"rollcall/try", []string{"rollcall/high"}}},
			[]string{"low imports try, which is for tests only"}},
		{"gone", []pkg{{"rollcall/low", nil}, {"rollcall/lower", nil}}, []string{"high is in floors_test.go and nowhere else"}},
		{"a stranger with a similar name", []pkg{{"rollcall/low", []string{"rollcaller/high"}}, {"rollcall/lower", nil}, {"rollcall/high", nil}}, nil},
	} {
		if diff := cmp.Diff(c.want, climbs(c.packages, floors, []string{"try"})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
