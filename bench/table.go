package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"rollcall/bench/stats"
)

// row is a line of the table: what one thing cost, in every round.
type row struct {
	what   string
	unit   func(float64) string
	values [kinds][]float64 // by round; NaN where there is none
	// Targets, 0 where there is none: the most that rollcall may cost, by itself and as a multiple of the others.
	most   float64
	ratios [kinds]float64
	faults []string // what went wrong; a row with one is not held
}

// set notes the value of a round.
func (r *row) set(k kind, round int, v float64) {
	for len(r.values[k]) <= round {
		r.values[k] = append(r.values[k], math.NaN())
	}
	r.values[k][round] = v
}

// fault notes that a round failed.
func (r *row) fault(k kind, round int, err error) {
	r.faults = append(r.faults, fmt.Sprintf("%v, round %d: %v", k, round+1, err))
}

// known returns the values without those that are not.
func known(values []float64) []float64 {
	return slices.DeleteFunc(slices.Clone(values), math.IsNaN)
}

// ratio returns the median of what rollcall costs as a multiple of another, each round compared with itself.
func (r *row) ratio(k kind) (float64, bool) {
	var all []float64
	for i, v := range r.values[rollcall] {
		if i < len(r.values[k]) && r.values[k][i] > 0 { // a difference of nearly equal things may be below
			all = append(all, v/r.values[k][i])
		}
	}
	all = known(all)
	return stats.Median(all), len(all) > 0
}

// judged reports whether there is a target.
func (r *row) judged() bool { return r.most > 0 || r.ratios[node] > 0 || r.ratios[floor] > 0 }

// held reports whether nothing went wrong and all targets were held. What could not be measured was not.
func (r *row) held() bool {
	values := known(r.values[rollcall])
	if len(r.faults) > 0 || r.judged() && len(values) == 0 {
		return false
	}
	if r.most > 0 && printed(stats.Median(values)) > r.most {
		return false
	}
	for _, k := range []kind{node, floor} {
		if got, ok := r.ratio(k); r.ratios[k] > 0 && (!ok || printed(got) > r.ratios[k]) {
			return false
		}
	}
	return true
}

// printed rounds as the table does, so that nothing is judged by what nobody can see.
func printed(v float64) float64 { return math.Round(v*100) / 100 }

// targets says them in words.
func (r *row) targets() string {
	var all []string
	if r.most > 0 {
		all = append(all, "≤ "+r.unit(r.most))
	}
	for _, k := range []kind{floor, node} {
		if r.ratios[k] > 0 {
			all = append(all, fmt.Sprintf("≤ %.2f × %v", r.ratios[k], k))
		}
	}
	return strings.Join(all, ", ")
}

// cell is the median, with the least and the most of all rounds.
func (r *row) cell(k kind) string {
	values := known(r.values[k])
	switch len(values) {
	case 0:
		return ""
	case 1:
		return r.unit(values[0])
	}
	return fmt.Sprintf("%s (%s to %s)", r.unit(stats.Median(values)), r.unit(slices.Min(values)), r.unit(slices.Max(values)))
}

func (r *row) cells(judge bool) []string {
	line := []string{r.what, r.cell(rollcall), r.cell(node), r.cell(floor), "", "", r.targets(), ""}
	for i, k := range []kind{node, floor} {
		if got, ok := r.ratio(k); ok {
			line[4+i] = fmt.Sprintf("%.2f", got)
		}
	}
	switch {
	case len(r.faults) > 0:
		line[7] = "FAILED"
	case !r.judged() || !judge:
	case r.held():
		line[7] = "held"
	default:
		line[7] = "NOT HELD"
	}
	return line
}

// table prints rows as Markdown, and below it what went wrong.
func table(rows []*row, judge bool) string {
	lines := [][]string{{"what", "rollcall", "Node", "floor", "to Node", "to floor", "target", ""}}
	var faults []string
	for _, r := range rows {
		lines = append(lines, r.cells(judge))
		for _, f := range r.faults {
			faults = append(faults, "- "+strings.TrimPrefix(r.what, "- ")+": "+f+"\n")
		}
	}
	text := markdown(lines)
	if len(faults) > 0 {
		text += "\nWhat went wrong:\n\n" + strings.Join(faults, "")
	}
	return text
}

// markdown prints a table of which the first line is the head.
func markdown(lines [][]string) string {
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, c := range line {
			widths[i] = max(widths[i], len([]rune(c)))
		}
	}
	var b strings.Builder
	for n, line := range lines {
		for i, c := range line {
			fmt.Fprintf(&b, "| %-*s ", widths[i], c)
		}
		b.WriteString("|\n")
		if n == 0 {
			for _, w := range widths {
				b.WriteString("|" + strings.Repeat("-", w+2))
			}
			b.WriteString("|\n")
		}
	}
	return b.String()
}

// The units of rows.
func micros(v float64) string  { return digits(v) + " µs" }
func millis(v float64) string  { return digits(v) + " ms" }
func kib(v float64) string     { return digits(v) + " KiB" }
func seconds(v float64) string { return digits(v) + " s" }
func plain(v float64) string   { return digits(v) }
func percent(v float64) string { return digits(v) + " %" }

// digits prints a number with three digits that count.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
