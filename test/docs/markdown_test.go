package docs_test

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// page is what these tests need of a Markdown file.
type page struct {
	links    []link
	anchors  map[string]bool // of its headings, without #
	commands []string        // lines of shell blocks, and code spans
}

// link is where a page leads to.
type link struct {
	line   int
	target string
}

var (
	fence      = regexp.MustCompile("^\\s*(```+|~~~+)\\s*(\\w*)")
	heading    = regexp.MustCompile(`^ {0,3}#{1,6}\s+(.*?)(?:\s+#+)?\s*$`)
	span       = regexp.MustCompile("(`+)([^`]+)(`+)")
	inline     = regexp.MustCompile(`\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)`)
	definition = regexp.MustCompile(`^ {0,3}\[[^\]]+\]:\s+<?([^\s>]+)>?`)
	bare       = regexp.MustCompile(`https?://[^\s<>)"'，。；]+`)
	marked     = regexp.MustCompile(`<a\s+(?:id|name)="([^"]+)"`)
	linkText   = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// read takes a page apart. What stands in code leads nowhere.
func read(text string) page {
	p, seen := page{anchors: map[string]bool{}}, map[string]int{}
	var closing, language string // while in a block of code
	for i, line := range strings.Split(text, "\n") {
		if m := fence.FindStringSubmatch(line); m != nil && closing == "" {
			closing, language = m[1], m[2]
			continue
		}
		if closing != "" {
			if strings.TrimSpace(line) == closing {
				closing = ""
			} else if language == "sh" || language == "bash" {
				p.commands = append(p.commands, strings.TrimSpace(line))
			}
			continue
		}
		if m := heading.FindStringSubmatch(line); m != nil {
			p.anchors[unique(slug(m[1]), seen)] = true
		}
		for _, m := range marked.FindAllStringSubmatch(line, -1) {
			p.anchors[m[1]] = true
		}
		p.follow(i+1, line)
	}
	return p
}

// follow collects links and code of one line of text.
func (p *page) follow(number int, line string) {
	for _, m := range span.FindAllStringSubmatch(line, -1) {
		p.commands = append(p.commands, strings.TrimSpace(m[2]))
	}
	line = span.ReplaceAllString(line, "code")
	add := func(target string) { p.links = append(p.links, link{number, target}) }
	for _, m := range inline.FindAllStringSubmatch(line, -1) {
		add(m[1])
	}
	line = inline.ReplaceAllString(line, "]")
	if m := definition.FindStringSubmatch(line); m != nil {
		add(m[1])
		return
	}
	for _, address := range bare.FindAllString(line, -1) {
		add(strings.TrimRight(address, ".,;:"))
	}
}

// slug is GitHub's: lower case, nothing but letters, marks, digits, _ and -, and - for each blank.
func slug(text string) string {
	text = strings.ReplaceAll(linkText.ReplaceAllString(text, "$1"), "`", "")
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Pc):
			return unicode.ToLower(r)
		}
		return -1
	}, text)
}

// unique numbers headings of the same name as GitHub does: the second one gets -1.
func unique(name string, seen map[string]int) string {
	n := seen[name]
	seen[name]++
	if n > 0 {
		return fmt.Sprintf("%s-%d", name, n)
	}
	return name
}
