// Package sdk_test runs the tests of the SDK in clients/js, against the real server and in a real browser.
package sdk_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"rollcall/internal/servertest"
)

// most is how long all of it may take.
const most = 5 * time.Minute

// The SDK compiles, its examples too, and it keeps what it promises.
func TestSDK(t *testing.T) {
	server := filepath.Join(t.TempDir(), "server")
	if err := servertest.Build(server, false); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "test", "--silent")
	npm.Dir = filepath.Join("..", "..", "clients", "js")
	npm.Env = append(npm.Environ(), "ROLLCALL_TEST_SERVER="+server)
	npm.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it starts servers and a browser, which end with it
	npm.Cancel = func() error { return syscall.Kill(-npm.Process.Pid, syscall.SIGKILL) }
	npm.WaitDelay = 10 * time.Second
	said, err := npm.CombinedOutput()
	if err != nil {
		t.Fatalf("npm test: %v; was npm ci run in clients/js?\n%s", err, said)
	}
	t.Logf("%s", said)
}
