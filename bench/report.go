package main

import (
	"context"
	"debug/buildinfo"
	_ "embed" // intro.md
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rollcall/bench/proc"
)

//go:embed intro.md
var intro string

// The sections of docs/performance.md that are written by different runs.
var sections = []string{"side by side", "long run"}

// report writes one section of docs/performance.md. The other one stays as it is.
func (b *bench) report(ctx context.Context, section, text string) error {
	path := filepath.Join(b.root, "docs", "performance.md")
	old, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := os.WriteFile(path, []byte(compose(string(old), section, b.setting(ctx)+"\n"+text)), 0o644); err != nil {
		return err
	}
	b.say("written: docs/performance.md")
	return nil
}

// compose puts a new section into what is there, below the introduction.
func compose(old, section, text string) string {
	out := strings.TrimSpace(intro) + "\n"
	for _, name := range sections {
		begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->\n"
		body := ""
		if name == section {
			body = fmt.Sprintf("\n## %s\n\n%s\n\n", strings.ToUpper(name[:1])+name[1:], strings.TrimSpace(text))
		} else if _, rest, found := strings.Cut(old, begin); found {
			body, _, _ = strings.Cut(rest, end)
		}
		if body != "" {
			out += "\n" + begin + body + end
		}
	}
	return out
}

// setting says when, where and with what a section was measured.
func (b *bench) setting(ctx context.Context) string {
	commit := b.output(ctx, "git", "rev-parse", "--short", "HEAD")
	if b.output(ctx, "git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs") != "" {
		commit += " with uncommitted changes"
	}
	var kernel unix.Utsname
	var memory unix.Sysinfo_t
	_, _ = unix.Uname(&kernel), unix.Sysinfo(&memory)
	release, _, _ := strings.Cut(unix.ByteSliceToString(kernel.Release[:]), "-")
	return fmt.Sprintf("- Date: %s\n- Commit: %s\n"+
		"- Machine: %d cores (%s), %.0f GiB, Linux %s; clients, servers and databases share it\n"+
		"- %s, Node %s, socket.io %s, gws %s, MariaDB %s, Redis %s\n",
		time.Now().UTC().Format(time.DateOnly), commit,
		runtime.NumCPU(), proc.Model(), float64(memory.Totalram)*float64(memory.Unit)/(1<<30), release,
		runtime.Version(), strings.TrimPrefix(b.output(ctx, "node", "--version"), "v"), b.socketIO(), b.gws(), b.services.dbVersion, b.services.redisVersion)
}

// output returns what a command says, "unknown" if it fails.
func (b *bench) output(ctx context.Context, command ...string) string {
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Dir = b.root
	text, err := c.Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// socketIO returns the version of the library that is installed beside the Node server.
func (b *bench) socketIO() string {
	var about struct{ Version string }
	text, err := os.ReadFile(filepath.Join(filepath.Dir(b.node), "node_modules", "socket.io", "package.json"))
	if err != nil || json.Unmarshal(text, &about) != nil {
		return "unknown"
	}
	return about.Version
}

// gws returns the version of the library that the floor was built with.
func (b *bench) gws() string {
	info, err := buildinfo.ReadFile(b.floor)
	if err != nil {
		return "unknown"
	}
	for _, d := range info.Deps {
		if d.Path == "github.com/lxzan/gws" {
			return strings.TrimPrefix(d.Version, "v")
		}
	}
	return "unknown"
}
