package plantest

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Most is how many rows a statement may look at: more than what a call is about, and far less than what New stores.
const Most = 1_000

// Fine is a reason why a statement may do what others may not.
type Fine struct {
	Part string // of its shape
	Scan bool   // it may read a whole table, or a whole index
	Rows int    // it may look at so many rows; 0 is Most
	Why  string
}

// kept is how many statements of one shape are carried out again to see how many rows they look at.
const kept = 3

// Judge asks the database how it finds the rows of each statement, and how many it looks at. It returns the shapes, and what is
// wrong with them, a line each. A Fine that is of no use is wrong too.
func Judge(t testing.TB, db *sql.DB, heard []Statement, fine []Fine) (shapes, wrong []string) {
	t.Helper()
	texts := map[string][]string{}
	for _, s := range heard {
		if shape := Shape(s.Text); reads(s.Text) && len(texts[shape]) < kept {
			texts[shape] = append(texts[shape], s.Text)
		}
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatalf("connect to the test database: %v", err)
	}
	defer conn.Close()
	for shape := range texts {
		shapes = append(shapes, shape)
	}
	slices.Sort(shapes)
	used := map[string]bool{}
	for _, shape := range shapes {
		worst, err := worstOf(t.Context(), conn, texts[shape])
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%v: %.2000s", err, shape))
			continue
		}
		allowed := excuse(fine, shape)
		if worst.scan != "" && !allowed.Scan {
			wrong = append(wrong, fmt.Sprintf("%s: %.2000s", worst.scan, shape))
		}
		if worst.rows > allowed.Rows {
			wrong = append(wrong, fmt.Sprintf("looks at %d rows, at most %d: %.2000s", worst.rows, allowed.Rows, shape))
		}
		used[allowed.Part] = used[allowed.Part] || allowed.Scan && worst.scan != "" || worst.rows > Most
	}
	for _, f := range fine {
		if !used[f.Part] {
			wrong = append(wrong, fmt.Sprintf("nothing needs to be excused by %q any more", f.Part))
		}
	}
	return shapes, wrong
}

// excuse returns the first Fine that a shape has, or what everybody may do.
func excuse(fine []Fine, shape string) Fine {
	for _, f := range fine {
		if strings.Contains(shape, f.Part) {
			f.Rows = cmp.Or(f.Rows, Most)
			return f
		}
	}
	return Fine{Rows: Most}
}

// worstOf looks at statements of one shape.
func worstOf(ctx context.Context, conn *sql.Conn, texts []string) (worst sight, err error) {
	for _, text := range texts {
		seen, err := look(ctx, conn, text)
		if err != nil {
			return worst, err
		}
		worst.scan, worst.rows = cmp.Or(worst.scan, seen.scan), max(worst.rows, seen.rows)
	}
	return worst, nil
}

// Rows returns how many rows statements look at, all together. Nothing of what they do is kept.
func Rows(t testing.TB, db *sql.DB, texts []string) (n int) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatalf("connect to the test database: %v", err)
	}
	defer conn.Close()
	for _, text := range texts {
		if !reads(text) {
			continue
		}
		seen, err := look(t.Context(), conn, text)
		if err != nil {
			t.Fatalf("%v: %.2000s", err, text)
		}
		n += seen.rows
	}
	return n
}

// sight is what was seen of a statement.
type sight struct {
	scan string // how it reads a whole table or index; "" when it does not
	rows int    // looked at
}

// look asks for the plan of a statement, and carries it out without keeping what it does.
func look(ctx context.Context, conn *sql.Conn, text string) (s sight, err error) {
	plan, err := table(ctx, conn, "EXPLAIN "+text)
	if err != nil {
		return s, fmt.Errorf("explain: %w", err)
	}
	for _, step := range plan {
		if kind := step["type"]; (kind == "ALL" || kind == "index") && !strings.HasPrefix(step["table"], "<") { // that is of the statement itself
			s.scan = fmt.Sprintf("reads all of %s (%s, about %s rows, key %q)", step["table"], kind, step["rows"], step["key"])
		}
	}
	if _, err := conn.ExecContext(ctx, "START TRANSACTION"); err != nil {
		return s, err
	}
	defer conn.ExecContext(ctx, "ROLLBACK")
	before, err := rowsRead(ctx, conn)
	if err != nil {
		return s, err
	}
	if _, err := conn.ExecContext(ctx, text); err != nil {
		return s, fmt.Errorf("carry out: %w", err)
	}
	after, err := rowsRead(ctx, conn)
	s.rows = after - before
	return s, err
}

// rowsRead returns how many rows the connection has looked at: those that were read, and those that were passed over in an index.
func rowsRead(ctx context.Context, conn *sql.Conn) (n int, err error) {
	status, err := table(ctx, conn, "SHOW SESSION STATUS WHERE Variable_name IN ('Handler_read_first', 'Handler_read_key', 'Handler_read_last', 'Handler_read_next', 'Handler_read_prev', 'Handler_read_rnd', 'Handler_read_rnd_next', 'Handler_icp_attempts', 'Handler_icp_match')")
	if err != nil {
		return 0, fmt.Errorf("read what was read: %w", err)
	}
	for _, s := range status {
		var one int
		if _, err := fmt.Sscan(s["Value"], &one); err != nil {
			return 0, fmt.Errorf("read %s: %w", s["Variable_name"], err)
		}
		if s["Variable_name"] == "Handler_icp_match" { // is read too
			one = -one
		}
		n += one
	}
	return n, nil
}

// table returns the rows of a query as texts by column.
func table(ctx context.Context, conn *sql.Conn, query string) (out []map[string]string, err error) {
	found, err := conn.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	columns, err := found.Columns()
	if err != nil {
		return nil, err
	}
	for found.Next() {
		cells, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range cells {
			into[i] = &cells[i]
		}
		if err := found.Scan(into...); err != nil {
			return nil, err
		}
		row := map[string]string{}
		for i, c := range columns {
			row[c] = cells[i].String
		}
		out = append(out, row)
	}
	return out, found.Err()
}
