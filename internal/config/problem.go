package config

import "strings"

// Problem is one thing that is wrong with the configuration. It never repeats a secret.
type Problem struct {
	Key   string // such as http.addr or webhooks[0].url; empty when no key is to blame
	Where string // "config.yaml:12", "environment ROLLCALL_HTTP_ADDR", "flag"; empty for what is set nowhere
	Text  string // what is wrong, and what was expected
}

// String returns "key: text (where)".
func (p Problem) String() string {
	s := p.Text
	if p.Key != "" {
		s = p.Key + ": " + s
	}
	if p.Where != "" {
		s += " (" + p.Where + ")"
	}
	return s
}

// Problems is everything that is wrong, in the order in which it was found: file, environment, flags,
// then what does not fit together.
type Problems []Problem

// Error returns one line per problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}
