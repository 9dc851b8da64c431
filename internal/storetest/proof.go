package storetest

import (
	"fmt"
	"os"
	"testing"
)

// Proving reports whether the full numbers are asked for (make prove) rather than the short ones of an ordinary run.
func Proving() bool { return os.Getenv("ROLLCALL_PROVE") != "" }

// Size returns full when proving and short otherwise.
func Size(full, short int) int {
	if Proving() {
		return full
	}
	return short
}

// Show logs what a test has seen and, when proving, adds it to the report.
func Show(t testing.TB, format string, args ...any) {
	t.Helper()
	line := fmt.Sprintf(format, args...)
	t.Log(line)
	path := os.Getenv("ROLLCALL_TEST_PROOF")
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatalf("open the report: %v", err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "- `%s`: %s\n", t.Name(), line); err != nil {
		t.Fatalf("write the report: %v", err)
	}
}
