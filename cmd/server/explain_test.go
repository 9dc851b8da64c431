package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/internal/store"
	"rollcall/sql"
)

// explain tells what is in the database of a running server, which has the file's lock.
func TestExplain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.db")
	if code, stdout, stderr := call(t, "explain", "-user", "7", "-database.dsn", file); code != 1 || stdout != "" || !strings.Contains(stderr, "no such file") {
		t.Errorf("without a database: %d %q %q", code, stdout, stderr)
	}
	db, err := store.Open(t.Context(), store.Config{Driver: store.SQLite, DSN: file, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if code, _, stderr := call(t, "explain", "-user", "7", "-database.dsn", file); code != 1 || !strings.Contains(stderr, "schema") {
		t.Errorf("without a schema: %d %q", code, stderr)
	}
	if err := sql.Up(t.Context(), db.SQL(), store.SQLite); err != nil {
		t.Fatal(err)
	}
	_, err = db.SQL().ExecContext(t.Context(), `INSERT INTO presence_sessions (id, conference_id, user_id, client_type, device_id, node_id, epoch, opened_at, closed_at, reason)
		VALUES ('01ARZ3NDEKTSV4RRFFQ69G5FAV', '42', '7', 'web', 'd1', 'node-a', 1, 1790000000000, 1790000060000, 'node_lost')`)
	if err != nil {
		t.Fatal(err)
	}
	want := "2026-09-21T14:14:20.000Z  session.closed      The node node-a died (found by its heartbeat); the session of the device d1 (web) was closed, as of the last heartbeat.\n"
	for _, args := range [][]string{
		{"-from", "1790000000000", "-to", "1790000090000"}, {"-from", "2026-09-21T14:13:20Z", "-to=2026-09-21T16:14:50+02:00", "-conference", "42"},
	} {
		code, stdout, stderr := call(t, append([]string{"explain", "-user", "7", "-database.dsn", file}, args...)...)
		if code != 0 || !strings.Contains(stdout, want) || strings.Count(stdout, "\n") != 5 {
			t.Errorf("%v: %d %q %q", args, code, stdout, stderr)
		}
	}
	if code, stdout, _ := call(t, "explain", "-user", "8", "-conference", "0", "-database.dsn", file); code != 0 || !strings.HasPrefix(stdout, "Nothing is known") {
		t.Errorf("of nobody: %d %q", code, stdout)
	}
}

func TestExplainWrongCalls(t *testing.T) {
	for _, args := range [][]string{
		{}, {"-user", "undefined"}, {"-user", "a b"}, {"-user", "7", "-conference", "a b"}, {"-user", "7", "-from", "yesterday"}, {"-user", "7", "-to", "-5"},
		{"-user", "7", "-from", "5", "-to", "4"}, {"-user", "7", "stray"},
	} {
		if code, stdout, stderr := call(t, append([]string{"explain"}, args...)...); code != 2 || stdout != "" || !strings.Contains(stderr, "usage:") {
			t.Errorf("%v: exit code %d, said %q", args, code, stderr)
		}
	}
}
