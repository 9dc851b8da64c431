package deploy_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// program is the server, built once for all tests.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "rollcall-deploy-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "server")
		if out, err := goBuild("..", program); err != nil {
			fmt.Fprintf(os.Stderr, "build the server: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// goBuild builds the server from the module in dir.
func goBuild(dir, output string) (said []byte, err error) {
	build := exec.Command("go", "build", "-trimpath", "-o", output, "./cmd/server")
	build.Dir, build.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	return build.CombinedOutput()
}

// ask runs a command of the server in dir with no more environment than env, and returns what it said.
func ask(t *testing.T, dir string, env []string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir, cmd.Env = dir, append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// read returns the text of a file.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section returns what stands between two lines of a text.
func section(t *testing.T, text, from, to string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, from+"\n")
	body, _, closed := strings.Cut(rest, "\n"+to)
	if !ok || !closed {
		t.Fatalf("there is nothing between %s and %s", from, to)
	}
	return body
}
