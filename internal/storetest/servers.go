package storetest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// The environment by which scripts/services tells where its servers are.
const (
	mysqlVar = "ROLLCALL_TEST_MYSQL"
	redisVar = "ROLLCALL_TEST_REDIS"
)

// servers says where this test binary finds its MariaDB and its Redis.
type servers struct {
	mysql string    // a data source name without a database
	redis string    // host:port
	alive io.Closer // held so that the garbage collector does not close it: the servers end when it closes
}

// shared are the servers of this test binary, found or started by the first test that asks. They end with it.
var shared = sync.OnceValues(func() (servers, error) {
	s := servers{mysql: os.Getenv(mysqlVar), redis: os.Getenv(redisVar)}
	if s.mysql != "" && s.redis != "" {
		return s, nil
	}
	return start()
})

func find(t testing.TB) servers {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatalf("start the servers that tests need: %v", err)
	}
	return s
}

// start runs scripts/services for as long as this process lives: the command that it runs is cat, whose input
// is a pipe that the kernel closes with this process, however that ends.
func start() (servers, error) {
	root, err := Root()
	if err != nil {
		return servers{}, err
	}
	const tell = `echo "$ROLLCALL_TEST_MYSQL $ROLLCALL_TEST_REDIS"; exec cat >/dev/null`
	cmd := exec.Command(filepath.Join(root, "scripts", "services"), "run", "sh", "-c", tell)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	alive, err := cmd.StdinPipe()
	if err != nil {
		return servers{}, fmt.Errorf("make pipe: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return servers{}, fmt.Errorf("make pipe: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return servers{}, fmt.Errorf("run scripts/services: %w", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = cmd.Wait() // also waits until all of standard error is read
		return servers{}, errors.New(strings.TrimSpace(complaints.String()))
	}
	mysql, redis, _ := strings.Cut(strings.TrimSpace(line), " ")
	return servers{mysql, redis, alive}, nil
}

// Root returns the folder of go.mod above the working folder, which is that of the package under test.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find working folder: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the working folder")
		}
		dir = parent
	}
}
