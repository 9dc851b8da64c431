// Package servertest builds the program and runs it as a process, for tests of the whole service.
package servertest

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Build builds the program into the file at path, with the race detector or without.
func Build(path string, race bool) error {
	args := []string{"build", "-o", path}
	if race {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "rollcall/cmd/server")...)
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build the server: %w", err)
	}
	return nil
}

// Env returns keys of the configuration as variables of the environment.
func Env(settings map[string]string) []string {
	var env []string
	for k, v := range settings {
		env = append(env, "ROLLCALL_"+strings.ToUpper(strings.ReplaceAll(k, ".", "_"))+"="+v)
	}
	return env
}
