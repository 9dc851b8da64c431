// Package examples_test runs every program of examples/ as its README says, against the real server with its doors locked.
package examples_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rollcall/internal/servertest"
	"rollcall/internal/storetest"
)

// What is built once: the server, and the examples that "go run" and "java Backend.java" would build for each call.
var serverPath, goPath, javaPath string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "rollcall-examples-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		serverPath, goPath, javaPath = filepath.Join(dir, "server"), filepath.Join(dir, "backend"), filepath.Join(dir, "classes")
		if err := servertest.Build(serverPath, false); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if said, err := exec.Command("go", "build", "-o", goPath, "rollcall/examples/go").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the example in Go: %v\n%s", err, said)
			return 1
		}
		return m.Run()
	}())
}

// runtime is one of the languages that the examples are written in.
type runtime struct {
	name    string            // of its folder
	command string            // as examples/README.md says
	needs   map[string]string // programs, and the Debian packages that have them
}

var runtimes = []runtime{
	{"curl", "examples/curl/backend.sh", map[string]string{"bash": "bash", "curl": "curl", "openssl": "openssl", "socat": "socat"}},
	{"go", "go run ./examples/go", map[string]string{"go": "golang"}},
	{"java", "java examples/java/Backend.java", map[string]string{"java": "default-jdk-headless", "javac": "default-jdk-headless"}},
	{"node", "node examples/node/backend.mjs", map[string]string{"node": "nodejs"}},
}

// eachRuntime runs fn once for each of them, as subtests beside each other. What is not installed fails it.
func eachRuntime(t *testing.T, fn func(t *testing.T, r runtime)) {
	for _, r := range runtimes {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			for program, debian := range r.needs {
				if _, err := exec.LookPath(program); err != nil {
					t.Fatalf("%s is not installed: apt-get install %s", program, debian)
				}
			}
			fn(t, r)
		})
	}
}

// compileJava is called by the first test that wants it.
var compileJava = sync.OnceValue(func() error {
	root, err := storetest.Root()
	if err != nil {
		return err
	}
	if said, err := exec.Command("javac", "-Xlint:all", "-Werror", "-d", javaPath, filepath.Join(root, "examples", "java", "Backend.java")).CombinedOutput(); err != nil {
		return fmt.Errorf("compile the example in Java: %w\n%s", err, said)
	}
	return nil
})

// settings are RC_URL and the others, which are the same for all.
type settings map[string]string

// prepare returns the command that runs an example from the root of the repository, with nothing of the tester's own settings.
func (r runtime) prepare(ctx context.Context, t *testing.T, s settings, args ...string) *exec.Cmd {
	t.Helper()
	root, err := storetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(strings.Replace(r.command, "go run ./examples/go", goPath, 1))
	if r.name == "java" && args[0] != "listen" { // which shows that the command of the README works
		if err := compileJava(); err != nil {
			t.Fatal(err)
		}
		words = []string{"java", "-XX:TieredStopAtLevel=1", "-cp", javaPath, "Backend"}
	}
	cmd := exec.CommandContext(ctx, words[0], append(words[1:], args...)...)
	cmd.Dir, cmd.WaitDelay = root, 10*time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "RC_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	for k, v := range s {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	return cmd
}

// result is what a call of an example came to.
type result struct {
	stdout, stderr string
	code           int // 0 is success
}

// run calls an example and waits for it.
func (r runtime) run(t *testing.T, s settings, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	cmd := r.prepare(ctx, t, s, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && (!failed || ctx.Err() != nil) {
		t.Fatalf("%s %q: %v\n%s", r.command, args, err, stderr.String())
	}
	keepsSecrets(t, "the example", stdout.String()+stderr.String())
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// succeeds is run for what has to; it returns what was printed.
func (r runtime) succeeds(t *testing.T, s settings, args ...string) string {
	t.Helper()
	got := r.run(t, s, args...)
	if got.code != 0 {
		t.Fatalf("%s %q ended with %d: %s", r.command, args, got.code, got.stderr)
	}
	return got.stdout
}

// fails is run for what has to, saying all these words.
func (r runtime) fails(t *testing.T, s settings, args []string, words ...string) {
	t.Helper()
	got := r.run(t, s, args...)
	if got.code != 1 || got.stdout != "" {
		t.Errorf("%s %q ended with %d and printed %q, want 1 and nothing", r.command, args, got.code, got.stdout)
	}
	for _, w := range words {
		if !strings.Contains(got.stderr, w) {
			t.Errorf("%s %q does not say %q but %q", r.command, args, w, got.stderr)
		}
	}
}

// The README names the commands that these tests run, and every variable that an example reads.
func TestReadmeNamesCommands(t *testing.T) {
	root, err := storetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "examples", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"`RC_URL`", "`RC_API_KEY`", "`RC_WEBHOOK_SECRET`", "`RC_LISTEN`"} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("examples/README.md does not explain %s", want)
		}
	}
	for _, r := range runtimes {
		if !bytes.Contains(text, []byte("`"+r.command+"`")) {
			t.Errorf("examples/README.md does not name the command %s", r.command)
		}
		for program, debian := range r.needs {
			if r.name != "go" && program != "bash" && !bytes.Contains(text, []byte(debian)) {
				t.Errorf("examples/README.md does not say that %s needs %s", r.name, debian)
			}
		}
	}
}
