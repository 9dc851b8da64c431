package plantest_test

import (
	"context"
	"strings"
	"testing"

	"gorm.io/gorm"

	"rollcall/internal/plantest"
)

// A query without an index, one that reads more than is asked for, and an excuse that nobody needs are found; what is in order
// is not. What is heard is what was said, and it is told whole.
func TestFaultsAreFound(t *testing.T) {
	s := plantest.New(t)
	db := s.Open(t)
	for _, c := range []struct {
		name, statement string
		fine            []plantest.Fine
		want            string // in the only complaint; "" for none
	}{
		{"by a key", "SELECT * FROM users WHERE id = 'u7'", nil, ""},
		{"by an index", "UPDATE presence SET reason = '' WHERE conference_id = 'c7' AND state = 'online'", nil, ""},
		{"no index", "SELECT * FROM users WHERE name = 'User 7'", nil, "reads all of users (ALL"},
		{"no index to change", "UPDATE presence_sessions SET reason = '' WHERE ip = '10.0.0.1'", nil, "reads all of presence_sessions"},
		{"no index to delete", "DELETE FROM notices WHERE actor = 'nobody'", nil, "reads all of notices"},
		{"a whole index", "SELECT COUNT(*) FROM notices", nil, "reads all of notices (index"},
		{"a join without one", "SELECT u.id FROM conference_members m JOIN users u ON u.name = m.name WHERE m.conference_id = 'c7'", nil, "reads all of u (ALL"},
		{"behind a subquery", "SELECT id FROM users WHERE id IN (SELECT user_id FROM presence WHERE user_name = 'Anna')", nil, "reads all of"},
		{"an index that leads to much", "SELECT COUNT(*) FROM presence_sessions FORCE INDEX (presence_sessions_node) WHERE node_id = 'past' AND reason = 'left'", nil, "looks at 38"},
		{"excused", "SELECT * FROM users WHERE name = 'User 8'", []plantest.Fine{{Part: "users WHERE name", Scan: true, Rows: 5_100, Why: "a test"}}, ""},
		{"excused too little", "SELECT * FROM users WHERE name = 'User 8'", []plantest.Fine{{Part: "users WHERE name", Scan: true, Why: "a test"}}, "looks at 500"},
		{"excused for nothing", "SELECT * FROM users WHERE id = 'u7'", []plantest.Fine{{Part: "users WHERE id", Scan: true, Why: "a test"}}, "nothing needs to be excused"},
	} {
		from := s.Len()
		err := db.Write(t.Context(), func(_ context.Context, tx *gorm.DB) error {
			if strings.HasPrefix(c.statement, "SELECT") {
				return tx.Raw(c.statement).Scan(&[]map[string]any{}).Error
			}
			return tx.Exec(c.statement).Error
		})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		heard := s.Heard(from)
		if all := plantest.Transactions(heard); len(all) != 1 || len(all[0]) != 1 || all[0][0] != c.statement {
			t.Errorf("%s: heard %+v", c.name, heard)
		}
		shapes, wrong := plantest.Judge(t, s.Beside, heard, c.fine)
		if len(shapes) != 1 || (c.want == "") != (len(wrong) == 0) || !strings.Contains(strings.Join(wrong, "\n"), c.want) {
			t.Errorf("%s: %d shapes, complained %q, want %q", c.name, len(shapes), wrong, c.want)
		}
	}
}

// Statements that differ only in their arguments, and in how many there are, are one.
func TestShape(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT * FROM a WHERE b = 'it\\'s' AND c=5 LIMIT 10":                                                               "SELECT * FROM a WHERE b = ? AND c=? LIMIT ?",
		"SELECT id FROM a WHERE b IN ('1','2',3) AND l0.c = 1.5":                                                            "SELECT id FROM a WHERE b IN (?) AND l0.c = ?",
		"INSERT INTO a (b,c) VALUES ('x',NULL),('y; it''s',2)":                                                              "INSERT INTO a (b,c) VALUES (?)",
		"SELECT 1 FROM a WHERE (b = '1' AND c = 2) OR (b = '3' AND c = 4) OR (b = '5' AND c = 6) AND d = 7":                 "SELECT ? FROM a WHERE (b = ? AND c = ?) AND d = ?",
		"SELECT b FROM a WHERE (c > 1 OR c = 1 AND d > 'x')":                                                                "SELECT b FROM a WHERE (c > ? OR c = ? AND d > ?)",
		"SELECT b\n\t\tFROM a WHERE c = '' UNION ALL SELECT b FROM a WHERE c = 'x' UNION ALL SELECT b FROM a WHERE c = 'y'": "SELECT b FROM a WHERE c = ?",
	} {
		if got := plantest.Shape(text); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}
