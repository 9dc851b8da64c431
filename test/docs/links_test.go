// Package docs_test holds the documentation against the repository: every link leads somewhere, every page is found from the README, and every command
// that is named exists.
package docs_test

import (
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/internal/storetest"
)

// hosts are those that the documentation may lead to. Nothing is fetched: whoever adds one has looked.
var hosts = []string{
	"developer.mozilla.org",
	"github.com",
	"keepachangelog.com",
	"semver.org",
	"www.standardwebhooks.com",
	"www.w3.org",
}

// notCommitted are folders that a fresh checkout does not have.
var notCommitted = []string{"node_modules", "bin", "data", "dist"}

// library is all pages by their path from the root, and the folder they are in.
type library struct {
	files fs.FS
	pages map[string]page
}

func (l library) read() error {
	return fs.WalkDir(l.files, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (name != "." && strings.HasPrefix(entry.Name(), ".") || slices.Contains(notCommitted, entry.Name())):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".md":
			return nil
		}
		text, err := fs.ReadFile(l.files, name)
		l.pages[name] = read(string(text))
		return err
	})
}

// repository returns the pages of this repository.
func repository(t *testing.T) (l library, root string) {
	t.Helper()
	root, err := storetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	l = library{os.DirFS(root), map[string]page{}}
	if err := l.read(); err != nil {
		t.Fatal(err)
	}
	return l, root
}

func TestLinks(t *testing.T) {
	l, _ := repository(t)
	n := 0
	for name, p := range l.pages {
		n += len(p.links)
		for _, link := range p.links {
			if wrong := l.wrong(name, link.target); wrong != "" {
				t.Errorf("%s:%d: %s %s", name, link.line, link.target, wrong)
			}
		}
	}
	if n < 50 {
		t.Errorf("found %d links: these pages have more", n)
	}
}

// Every page of docs, examples and clients is found by whoever begins with the README.
func TestPagesAreReachable(t *testing.T) {
	l, _ := repository(t)
	for _, name := range l.unreachable("README.md", "docs/", "examples/", "clients/") {
		t.Errorf("no link leads from README.md to %s", name)
	}
}

// wrong says what is wrong with a link of the page at from, or "".
func (l library) wrong(from, target string) string {
	u, err := url.Parse(target)
	switch {
	case err != nil:
		return "is no URL"
	case u.Scheme == "http" && (u.Hostname() == "127.0.0.1" || u.Hostname() == "localhost"):
		return "" // the reader's own server
	case u.Scheme != "":
		if u.Scheme != "https" || !slices.Contains(hosts, u.Host) {
			return "leads to a place that is not on the list of links_test.go"
		}
		return ""
	case path.IsAbs(u.Path) || u.Host != "" || u.RawQuery != "":
		return "is not relative to the page"
	}
	to := from
	if u.Path != "" {
		to = path.Join(path.Dir(from), u.Path)
	}
	if slices.ContainsFunc(notCommitted, func(folder string) bool { return slices.Contains(strings.Split(to, "/"), folder) }) {
		return "leads to what is not committed"
	}
	info, err := fs.Stat(l.files, to)
	switch p, known := l.pages[to]; {
	case err != nil:
		return "leads to nothing"
	case strings.HasSuffix(u.Path, "/") && !info.IsDir():
		return "is no folder"
	case u.Fragment != "" && !known:
		return "has an anchor, but is no page"
	case u.Fragment != "" && !p.anchors[u.Fragment]:
		return "leads to no heading"
	}
	return ""
}

// unreachable returns the pages below these folders to which no way leads from start. A link to a folder shows all that is in it.
func (l library) unreachable(start string, folders ...string) []string {
	seen := map[string]bool{}
	for next := []string{start}; len(next) > 0; next = next[1:] {
		name := next[0]
		if seen[name] {
			continue
		}
		seen[name] = true
		for _, link := range l.pages[name].links {
			if u, err := url.Parse(link.target); err == nil && u.Scheme == "" && u.Path != "" {
				next = append(next, path.Join(path.Dir(name), u.Path))
			}
		}
		for page := range l.pages {
			if path.Dir(page) == name {
				next = append(next, page)
			}
		}
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(l.pages)), func(name string) bool {
		return seen[name] || !slices.ContainsFunc(folders, func(f string) bool { return strings.HasPrefix(name, f) })
	})
}

// What the tests above look for is found where it is planted.
func TestBrokenLinksAreCaught(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"README.md": "# Top\n\n[a](docs/a.md#上锁-and-more) [x](docs/a.md#a_b) ![i](i.png) <https://semver.org/> [f](docs/)\n\n" +
			"```\n[no](link)\n```\n`[no](code)` http://127.0.0.1:8080/x\n",
		"i.png": "", "docs/a.md": "# `a_b`\n## 上锁 (and more)\n## Top\n### Top\n[1](#top-1) [2](../README.md#top)\n[r]: https://semver.org\n",
		"docs/alone.md": "[up](../README.md)", "examples/alone.md": "", "dist/x.js": "", "notes/b.md": "",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := library{os.DirFS(root), map[string]page{}}
	if err := l.read(); err != nil {
		t.Fatal(err)
	}
	for name, p := range l.pages {
		for _, link := range p.links {
			if wrong := l.wrong(name, link.target); wrong != "" {
				t.Errorf("%s: %s %s, but is right", name, link.target, wrong)
			}
		}
	}
	if n := len(l.pages["README.md"].links); n != 6 {
		t.Errorf("found %v in README.md", l.pages["README.md"].links)
	}
	for _, target := range []string{"docs/b.md", "docs/a.md#gone", "#gone", "#top-1", "i.png#top", "i.png/", "/README.md", "../outside.md", "dist/x.js", "docs/A.md",
		"https://example.org/", "http://semver.org", "https://semver.org.example.org", "mailto:me@example.org", "//semver.org/x", "docs/a.md?x=1"} {
		if l.wrong("README.md", target) == "" {
			t.Errorf("%s is taken for right", target)
		}
	}
	if diff := cmp.Diff([]string{"examples/alone.md"}, l.unreachable("README.md", "docs/", "examples/")); diff != "" {
		t.Errorf("unreachable (-want +got):\n%s", diff)
	}
}

var (
	serverCall = regexp.MustCompile(`(?:go run \./cmd/server|(?:^|\$\()server) ([a-z]+)`)
	makeCall   = regexp.MustCompile(`(?:^|&& |; )make ([a-z]+)`)
)

// Every command of the server and every target of make that a page names is there.
func TestCommandsExist(t *testing.T) {
	l, root := repository(t)
	commands := words(t, filepath.Join(root, "cmd", "server", "main.go"), `(?m)^\t\t"([a-z]+)":`, "serve", "keygen")
	targets := words(t, filepath.Join(root, "Makefile"), `(?m)^([a-z]+):`, "test", "web")
	for name, p := range l.pages {
		for _, offence := range p.unknown(commands, targets) {
			t.Errorf("%s: %s", name, offence)
		}
	}
	const planted = "```sh\ngo run ./cmd/server fly -x\nTOKEN=$(server token)\n```\n`make tea` `server serve` `go run ./cmd/server` `make test` `server swim`"
	want := []string{"the server has no command fly", "make has no target tea", "the server has no command swim"}
	if diff := cmp.Diff(want, read(planted).unknown(commands, targets)); diff != "" {
		t.Errorf("planted (-want +got):\n%s", diff)
	}
}

// unknown returns what a page calls that is not there.
func (p page) unknown(commands, targets []string) (offences []string) {
	for _, line := range p.commands {
		for _, m := range serverCall.FindAllStringSubmatch(line, -1) {
			if !slices.Contains(commands, m[1]) {
				offences = append(offences, fmt.Sprintf("the server has no command %s", m[1]))
			}
		}
		for _, m := range makeCall.FindAllStringSubmatch(line, -1) {
			if !slices.Contains(targets, m[1]) {
				offences = append(offences, fmt.Sprintf("make has no target %s", m[1]))
			}
		}
	}
	return offences
}

// words returns what a pattern finds in a file, which must be at least these.
func words(t *testing.T, file, pattern string, least ...string) (found []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
		found = append(found, m[1])
	}
	for _, word := range least {
		if !slices.Contains(found, word) {
			t.Fatalf("%s is not found in %s", word, file)
		}
	}
	return found
}
