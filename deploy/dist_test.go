package deploy_test

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	distVersion = "9.8.7"
	distTime    = 1_700_000_000 // of all that is in the archive
)

// The archive for this machine has a static program that says its version and all that the documentation refers to, under the sum
// that goes with it; times and owners are fixed.
func TestDist(t *testing.T) {
	dir := t.TempDir()
	pack := exec.CommandContext(t.Context(), "scripts/dist", runtime.GOARCH)
	pack.Dir, pack.Env = "..", append(os.Environ(), "VERSION="+distVersion, "SOURCE_DATE_EPOCH="+strconv.Itoa(distTime), "DIST="+dir)
	if out, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	name := "rollcall-" + distVersion + "-linux-" + runtime.GOARCH
	archive := filepath.Join(dir, name+".tar.gz")
	sum := sha256.Sum256([]byte(read(t, archive)))
	if got, want := read(t, filepath.Join(dir, "SHA256SUMS")), hex.EncodeToString(sum[:])+"  "+name+".tar.gz\n"; got != want {
		t.Errorf("SHA256SUMS is %q, want %q", got, want)
	}
	names := unpack(t, archive, dir)
	for _, want := range []string{"rollcall", "config.example.yaml", "LICENSE", "README.md", "docs/operations.md", "deploy/grafana/rollcall.json", "deploy/prometheus/rules.yml", "deploy/systemd/rollcall.service"} {
		if !slices.Contains(names, name+"/"+want) {
			t.Errorf("%s is missing", want)
		}
	}
	if !slices.IsSorted(names) {
		t.Errorf("not in order: %v", names)
	}
	packed := filepath.Join(dir, name, "rollcall")
	file, err := elf.Open(packed)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC }) {
		t.Error("the program is not static")
	}
	if out, err := exec.CommandContext(t.Context(), packed, "version").Output(); err != nil || string(out) != "rollcall "+distVersion+"\n" {
		t.Errorf("it says %q, %v", out, err)
	}
}

// unpack unpacks an archive and returns the names of its files.
func unpack(t *testing.T, archive, dir string) (names []string) {
	t.Helper()
	zipped, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = zipped.Close() }()
	plain, err := gzip.NewReader(zipped)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(plain); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names
		} else if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(time.Unix(distTime, 0)) || h.Uid != 0 || h.Gid != 0 || strings.Contains(h.Name, "..") {
			t.Errorf("%s is of %v and of %d:%d", h.Name, h.ModTime, h.Uid, h.Gid)
		}
		path := filepath.Join(dir, h.Name)
		if h.FileInfo().IsDir() {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		names = append(names, h.Name)
		text, err := io.ReadAll(r)
		if err == nil {
			err = os.WriteFile(path, text, h.FileInfo().Mode())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
