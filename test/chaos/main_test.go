// Package chaos_test breaks nodes, servers and lines under the running service, and prints a table of what its clients saw: one
// row per promise, with the figure that was promised and the one that was met.
package chaos_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/Shopify/toxiproxy/v2/toxics"

	"rollcall/internal/servertest"
	"rollcall/internal/storetest"
)

const (
	ownServers = "ROLLCALL_TEST_CHAOS_INSIDE" // set in the process that runs beside a MariaDB and a Redis of its own
	tableVar   = "ROLLCALL_CHAOS_TABLE"       // names the file that gets the table as Markdown
)

// atOnce is how many cases of the short form run beside each other: most of their time they wait.
const atOnce = "4"

// program is the binary of cmd/server. The long form has it without the race detector, which would be what is measured.
var program string

func TestMain(m *testing.M) {
	if text := os.Getenv(flooderVar); text != "" {
		os.Exit(becomeFlooder(text))
	}
	if os.Getenv(ownServers) == "" {
		os.Exit(besideOwnServers())
	}
	os.Exit(inside(m))
}

// besideOwnServers runs this test again beside servers that nobody else uses: here they are emptied, paused and made read-only.
func besideOwnServers() int {
	root, err := storetest.Root()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	runtime.LockOSThread() // Pdeathsig is about the thread
	cmd := exec.Command(filepath.Join(root, "scripts", "services"), append([]string{"run", self}, os.Args[1:]...)...)
	cmd.Env = append(os.Environ(), ownServers+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() > 0 {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "run beside servers of its own:", err)
		return 1
	}
	return 0
}

func inside(m *testing.M) int {
	flag.Parse()
	if !storetest.Proving() {
		_ = flag.Set("test.parallel", atOnce)
	}
	tableFile := os.Getenv(tableVar)
	_ = os.Unsetenv(tableVar) // which is no key of the nodes' configuration, and they say so
	toxics.Register(lostCommitName, &lostCommit{})
	dir, err := os.MkdirTemp("", "rollcall-chaos-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "server")
	if err := servertest.Build(program, !storetest.Proving()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if always.cases > 0 {
		all.add(always.row())
	}
	fmt.Print(all.text())
	if tableFile != "" {
		if err := os.WriteFile(tableFile, []byte(all.markdown()), 0o600); err != nil {
			fmt.Fprintln(os.Stderr, "write the table:", err)
			return 1
		}
	}
	return code
}
