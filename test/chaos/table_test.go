package chaos_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"rollcall/internal/storetest"
)

// The sections of the table, in their order.
const (
	nodesSection    = "Nodes"
	presenceSection = "Presence"
	storesSection   = "Redis and database"
	networkSection  = "Network and clients"
	alwaysSection   = "After every case"
)

var sections = []string{nodesSection, presenceSection, storesSection, networkSection, alwaysSection}

// row is one promise: about N of something, what was promised, what was seen.
type row struct {
	section, name  string
	n              int
	target, figure string
	held           bool
}

// table gathers rows. It is safe for concurrent use.
type table struct {
	mu   sync.Mutex // guards rows
	rows []row
}

// all is the table of this run.
var all = &table{}

func (t *table) add(r row) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, r)
}

// sorted returns the rows by section and case; those of one case in the order in which they came.
func (t *table) sorted() []row {
	t.mu.Lock()
	defer t.mu.Unlock()
	rows := slices.Clone(t.rows)
	slices.SortStableFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(slices.Index(sections, a.section), slices.Index(sections, b.section)), cmp.Compare(a.name, b.name))
	})
	return rows
}

var heldWords = map[bool]string{true: "held", false: "NOT HELD"}

// text is the table for a terminal.
func (t *table) text() string {
	var b strings.Builder
	section := ""
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, r := range t.sorted() {
		if r.section != section {
			section = r.section
			_ = w.Flush()
			fmt.Fprintf(&b, "\n%s\n", section)
			fmt.Fprintln(w, "  case\tN\ttarget\tfigure\t")
		}
		fmt.Fprintf(w, "  %s\t%d\t%s\t%s\t%s\n", r.name, r.n, r.target, r.figure, heldWords[r.held])
	}
	_ = w.Flush()
	return b.String()
}

// markdown is the table for docs.
func (t *table) markdown() string {
	var b strings.Builder
	section := ""
	for _, r := range t.sorted() {
		if r.section != section {
			section = r.section
			fmt.Fprintf(&b, "\n## %s\n\n| case | N | target | figure | |\n|---|---|---|---|---|\n", section)
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %s | %s |\n", cell(r.name), r.n, cell(r.target), cell(r.figure), heldWords[r.held])
	}
	return strings.TrimPrefix(b.String(), "\n")
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// trial is one case while it is tried: it owns the case's rows of the table. Its methods belong into the goroutine of the test.
type trial struct {
	t             *testing.T
	section, name string
	begun         time.Time
	rows, missed  int
}

// begin opens a case. One that ends without a row, or fails beside its rows, gets a row that says so.
func begin(t *testing.T, section, name string) *trial {
	t.Helper()
	c := &trial{t: t, section: section, name: name, begun: time.Now()}
	c.progress("begins")
	t.Cleanup(func() {
		switch {
		case c.rows == 0:
			all.add(row{section, name, 0, "an end", "the case came to no end, see its log", false})
		case t.Failed() && c.missed == 0:
			all.add(row{section, name, 0, "nothing else fails", "something did, see its log", false})
		}
		c.progress("is over")
	})
	return c
}

// says adds a row. A target that was missed fails the test, which goes on.
func (c *trial) says(n int, target, figure string, held bool) {
	c.t.Helper()
	c.rows++
	all.add(row{c.section, c.name, n, target, figure, held})
	c.progress("%s: %s (N %d, target %s)", heldWords[held], figure, n, target)
	if !held {
		c.missed++
		c.t.Errorf("%s: %s, target %s, N %d", c.name, figure, target, n)
	}
}

// none is says for what must be 0.
func (c *trial) none(n, seen int, of string) {
	c.t.Helper()
	c.says(n, of+" 0", fmt.Sprintf("%d", seen), seen == 0)
}

// within is says for what must not take longer than most. The short form runs with the race detector beside other tests: there it may
// take three times as long, as what it is for is that it happens at all; the figures are those of the long form.
func (c *trial) within(n int, what string, took, most time.Duration) {
	c.t.Helper()
	if !storetest.Proving() {
		most *= 3
	}
	c.says(n, fmt.Sprintf("%s within %v", what, most), took.Round(10*time.Millisecond).String(), took <= most)
}

// progress prints a line at once, for whoever watches a run of half an hour.
func (c *trial) progress(format string, args ...any) {
	fmt.Printf("chaos %6.1fs  %s: %s: %s\n", time.Since(c.begun).Seconds(), c.section, c.name, fmt.Sprintf(format, args...))
}

func TestTable(t *testing.T) {
	var tab table
	tab.add(row{networkSection, "b", 3, "0", "0", true})
	tab.add(row{nodesSection, "long name", 1000, "lost 0", "2|3", false})
	tab.add(row{networkSection, "a", 1, "0", "0", true})
	want := `
Nodes
  case       N     target  figure  
  long name  1000  lost 0  2|3     NOT HELD

Network and clients
  case  N  target  figure  
  a     1  0       0       held
  b     3  0       0       held
`
	if got := tab.text(); got != want {
		t.Errorf("the table is\n%s, want\n%s", got, want)
	}
	if got := tab.markdown(); !strings.HasPrefix(got, "## Nodes\n\n| case |") || !strings.Contains(got, `| long name | 1000 | lost 0 | 2\|3 | NOT HELD |`) {
		t.Errorf("as Markdown the table is\n%s", got)
	}
}

// always counts the cases after which what must always hold did, for one row of the table.
var always = &tally{}

type tally struct {
	mu           sync.Mutex // guards all
	cases, wrong int
}

func (a *tally) note(right bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cases++
	if !right {
		a.wrong++
	}
}

// row is the one row about all cases.
func (a *tally) row() row {
	a.mu.Lock()
	defer a.mu.Unlock()
	return row{alwaysSection, "presence is true on every node, no session of a dead epoch is open, no panic, race or flood in a log", a.cases, "broken 0", fmt.Sprint(a.wrong), a.wrong == 0}
}
