package plantest

import (
	"regexp"
	"slices"
	"strings"
)

var (
	literal = regexp.MustCompile(`'(?:[^'\\]|\\.|'')*'|\b\d+(?:\.\d+)?\b`)
	blanks  = regexp.MustCompile(`\s+`)
	values  = regexp.MustCompile(`\((?:\?|NULL|DEFAULT)(?:, ?(?:\?|NULL|DEFAULT))*\)`)
	rows    = regexp.MustCompile(`\(\?\)(?:, ?\(\?\))+`)
)

// Shape is a statement without its arguments and without how many there are of them: those that differ only there have one shape.
func Shape(text string) string {
	text = blanks.ReplaceAllString(literal.ReplaceAllString(text, "?"), " ")
	text = rows.ReplaceAllString(values.ReplaceAllString(text, "(?)"), "(?)")
	return unchain(unchain(strings.TrimSpace(text), " OR "), " UNION ALL ")
}

// unchain leaves one link of those that are alike: of "x WHERE (a) OR (a) OR (a) AND b" it leaves "x WHERE (a) AND b".
func unchain(text, chain string) string {
	links := strings.Split(text, chain)
	out := links[0]
	for _, link := range links[1:] {
		n := len(link)
		for n > 0 && !strings.HasSuffix(out, link[:n]) {
			n--
		}
		if n == 0 {
			out += chain
		}
		out += link[n:]
	}
	return out
}

// reads reports whether a statement looks for rows, so that there is a plan for it. An INSERT of values does not.
func reads(text string) bool {
	verb, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	switch strings.ToUpper(verb) {
	case "UPDATE", "DELETE":
		return true
	case "SELECT":
		return strings.Contains(text, "FROM ") // the others ask for a lock, or the time
	case "INSERT", "REPLACE":
		return strings.Contains(text, "SELECT ")
	}
	return strings.HasPrefix(text, "(")
}

// Transactions groups what was said between BEGIN and COMMIT of one connection, in the order of their beginnings. What was said
// outside of any is one each; one that is still open, or was rolled back, is among them.
func Transactions(heard []Statement) (all [][]string) {
	open := map[int]int{} // connection -> index of its transaction
	for _, s := range heard {
		i, within := open[s.Conn]
		switch verb := strings.ToUpper(s.Text); {
		case strings.HasPrefix(verb, "START TRANSACTION"):
			open[s.Conn] = len(all)
			all = append(all, nil)
		case strings.HasPrefix(verb, "SET "):
		case verb == "COMMIT", verb == "ROLLBACK":
			delete(open, s.Conn)
		case within:
			all[i] = append(all[i], s.Text)
		default:
			all = append(all, []string{s.Text})
		}
	}
	return slices.DeleteFunc(all, func(t []string) bool { return len(t) == 0 })
}
