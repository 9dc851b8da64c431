package sql_test

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
	migrations "rollcall/sql"
)

// query returns the rows of q, whose columns are one text each.
func query(t *testing.T, db *sql.DB, q string, args ...any) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), q, args...)
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return out
}

func tables(t *testing.T, db *store.DB) []string {
	t.Helper()
	q := "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
	if db.Dialect() == store.SQLite {
		q = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
	}
	names := query(t, db.SQL(), q)
	slices.Sort(names)
	return slices.DeleteFunc(names, func(n string) bool { return n == "schema_version" })
}

// A second start finds nothing to do and leaves rows alone.
func TestUpIsIdempotent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		if _, err := db.SQL().Exec("INSERT INTO users (id) VALUES ('7')"); err != nil {
			t.Fatal(err)
		}
		if err := migrations.Up(t.Context(), db.SQL(), db.Dialect()); err != nil {
			t.Fatalf("second Up: %v", err)
		}
		if got := query(t, db.SQL(), "SELECT id FROM users"); !cmp.Equal(got, []string{"7"}) {
			t.Errorf("users after the second Up: %v", got)
		}
		s, err := migrations.Read(t.Context(), db.SQL(), db.Dialect())
		if err != nil || s.Current != s.Latest || s.Latest < 1 {
			t.Errorf("status %+v, %v", s, err)
		}
	})
}

// "migrate status" may be asked of a database that nobody wants touched.
func TestReadChangesNothing(t *testing.T) {
	for _, dialect := range []string{store.SQLite, store.MySQL} {
		db := storetest.OpenConfig(t, storetest.DSN(t, dialect))
		s, err := migrations.Read(t.Context(), db.SQL(), dialect)
		if err != nil || s.Current != 0 || s.Latest < 1 {
			t.Errorf("%s: status of an empty database is %+v, %v", dialect, s, err)
		}
		if got := tables(t, db); len(got) != 0 {
			t.Errorf("%s: Read made tables %v", dialect, got)
		}
	}
}

// An old program must not work on tables it does not know.
func TestNewerSchemaIsRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		if _, err := db.SQL().Exec("INSERT INTO schema_version (version_id, is_applied) VALUES (9999, TRUE)"); err != nil {
			t.Fatal(err)
		}
		if err := migrations.Up(t.Context(), db.SQL(), db.Dialect()); !errors.Is(err, migrations.ErrNewer) {
			t.Errorf("Up on a newer schema: %v", err)
		}
		if s, err := migrations.Read(t.Context(), db.SQL(), db.Dialect()); !errors.Is(err, migrations.ErrNewer) || s.Current != 9999 {
			t.Errorf("Read of a newer schema: %+v, %v", s, err)
		}
	})
}

// Three nodes started at once on an empty database: one migrates, the others wait, all go on.
func TestUpAtOnce(t *testing.T) {
	c := storetest.DSN(t, store.MySQL)
	errs := make(chan error)
	for range 3 {
		db := storetest.OpenConfig(t, c)
		go func() { errs <- migrations.Up(t.Context(), db.SQL(), store.MySQL) }()
	}
	for range 3 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestUnknownDialect(t *testing.T) {
	if err := migrations.Up(t.Context(), storetest.Open(t, store.SQLite).SQL(), "oracle"); err == nil {
		t.Error("Up took an unknown dialect")
	}
}

// What runs on a laptop's SQLite must run on MySQL: tables, columns, what may be null, keys and indexes agree.
func TestDialectsHaveTheSameSchema(t *testing.T) {
	lite, maria := storetest.Open(t, store.SQLite), storetest.Open(t, store.MySQL)
	if diff := cmp.Diff(tables(t, lite), tables(t, maria)); diff != "" {
		t.Fatalf("tables (-sqlite +mariadb):\n%s", diff)
	}
	for _, table := range tables(t, lite) {
		t.Run(table, func(t *testing.T) {
			if diff := cmp.Diff(liteColumns(t, lite.SQL(), table), mariaColumns(t, maria.SQL(), table)); diff != "" {
				t.Errorf("columns (-sqlite +mariadb):\n%s", diff)
			}
			if diff := cmp.Diff(liteIndexes(t, lite.SQL(), table), mariaIndexes(t, maria.SQL(), table)); diff != "" {
				t.Errorf("indexes (-sqlite +mariadb):\n%s", diff)
			}
		})
	}
}

func liteColumns(t *testing.T, db *sql.DB, table string) []string {
	return query(t, db, `SELECT name || CASE "notnull" WHEN 1 THEN ' not null' ELSE '' END FROM pragma_table_info(?) ORDER BY cid`, table)
}

func mariaColumns(t *testing.T, db *sql.DB, table string) []string {
	return query(t, db, `SELECT CONCAT(column_name, IF(is_nullable = 'NO', ' not null', '')) FROM information_schema.columns
		WHERE table_schema = DATABASE() AND table_name = ? ORDER BY ordinal_position`, table)
}

// liteIndexes returns every index as its columns in order, with the primary key among them.
func liteIndexes(t *testing.T, db *sql.DB, table string) []string {
	var out []string
	for _, name := range query(t, db, "SELECT name FROM pragma_index_list(?)", table) {
		out = append(out, fmt.Sprint(query(t, db, "SELECT name FROM pragma_index_info(?) ORDER BY seqno", name)))
	}
	slices.Sort(out)
	return out
}

func mariaIndexes(t *testing.T, db *sql.DB, table string) []string {
	var out []string
	from := " FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = ?"
	for _, name := range query(t, db, "SELECT DISTINCT index_name"+from, table) {
		out = append(out, fmt.Sprint(query(t, db, "SELECT column_name"+from+" AND index_name = ? ORDER BY seq_in_index", table, name)))
	}
	slices.Sort(out)
	return out
}

// A backend that knows nothing of rollcall writes with plain statements that name only what it cares about.
func TestBackendsWritePlainly(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for _, s := range []string{
			"INSERT INTO users (id, name) VALUES ('7', 'Anna 🙂')",
			"INSERT INTO conferences (id) VALUES ('42')",
			"INSERT INTO conference_members (conference_id, user_id) VALUES ('42', '7')",
			"INSERT INTO conference_nodes (conference_id, head_data) VALUES ('42', 'not even JSON')",
			"UPDATE conference_nodes SET updated_at = '2020-01-01 00:00:00.000' WHERE conference_id = '42'",
			"UPDATE conference_nodes SET timer = '{}' WHERE conference_id = '42'",
		} {
			if _, err := db.SQL().ExecContext(t.Context(), s); err != nil {
				t.Errorf("%s: %v", s, err)
			}
		}
		touched := query(t, db.SQL(), "SELECT conference_id FROM conference_nodes WHERE updated_at > '2020-01-02 00:00:00.000'")
		if len(touched) != 1 {
			t.Error("a plain UPDATE left updated_at as it was")
		}
	})
}

// Ids are case-sensitive and accents count, in the database as everywhere.
func TestIDsAreComparedByteByByte(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for _, id := range []string{"a", "A", "ä", "Ä", "ß", "ss", "张", "張"} {
			if _, err := db.SQL().ExecContext(t.Context(), "INSERT INTO users (id) VALUES (?)", id); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
	})
}
