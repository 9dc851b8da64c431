package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// systemd takes the unit without a word, and calls it well locked up: 2.0 or better, of 10 for one that may do everything.
func TestSystemdUnit(t *testing.T) {
	unit := read(t, "systemd/rollcall.service")
	const start = "ExecStart=/usr/local/bin/rollcall serve -config /etc/rollcall/config.yaml\n"
	if !strings.Contains(unit, start) {
		t.Fatal("it starts something else than docs/operations.md installs")
	}
	file := filepath.Join(t.TempDir(), "rollcall.service")
	if err := os.WriteFile(file, []byte(strings.Replace(unit, start, "ExecStart="+program+" serve\n", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"verify", file}, {"security", "--offline=true", "--threshold=20", "--no-pager", file}} {
		out, err := exec.CommandContext(t.Context(), "systemd-analyze", args...).CombinedOutput()
		if err != nil || args[0] == "verify" && len(out) > 0 {
			t.Errorf("systemd-analyze %s: %v\n%s", args[0], err, out)
		}
	}
}
