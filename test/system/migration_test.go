package system_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// old is what an S2 installation left behind, in the tables that the script names as an example: ids that are numbers,
// one that is none, presence "0" and "1", and sections as years of use make them.
const old = `
CREATE TABLE sys_user (id BIGINT PRIMARY KEY, nick_name VARCHAR(400), phone VARCHAR(20)) DEFAULT CHARSET utf8;
INSERT INTO sys_user VALUES (7, 'Anna', '1'), (8, 'Βέν', '2'), (1234567890123456789, REPEAT('ü', 300), '3'), (10, NULL, NULL);
CREATE TABLE conference_user (id BIGINT PRIMARY KEY AUTO_INCREMENT, user_id VARCHAR(100), conference_id BIGINT, is_online CHAR(1)) DEFAULT CHARSET utf8;
INSERT INTO conference_user (user_id, conference_id, is_online) VALUES
    ('7', 42, '0'), ('7', 43, '1'), ('8', 42, '1'), ('1234567890123456789', 42, '0'), ('11', 43, '0'), ('11', 0, '0'), ('spaced out', 44, '0'), ('undefined', 42, '1');
CREATE TABLE conference_note (id BIGINT PRIMARY KEY AUTO_INCREMENT, conference_id BIGINT UNIQUE, conference_status INT, conference_content TEXT, topic_content LONGTEXT,
    countersign_data VARCHAR(2000), timer TEXT, same_screen TEXT, head_data TEXT, sign_in_data TEXT) DEFAULT CHARSET utf8;
INSERT INTO conference_note (conference_id, conference_status, conference_content, topic_content, countersign_data, timer, same_screen, head_data, sign_in_data) VALUES
    (42, 1, '{"text":"tab	here\nand\ta line","big":1234567890123456789}', '{"title":"broken', ' ', NULL, '{"isShare":"0","stream":1}', '{"onLineNumber":17,"title":"Βoard"}', '{"signed":[]}'),
    (0, 1, '{}', '', '', '', '', '', '');
CREATE TABLE conference_member (conference_id BIGINT, user_id BIGINT, name VARCHAR(400)) DEFAULT CHARSET utf8;
INSERT INTO conference_member VALUES (42, 7, ''), (42, 8, 'Ben, of the list'), (42, 12, 'Never came');
`

// move is a move from an S2 database into a new one, by the documented script.
type move struct {
	t        *testing.T
	from, to store.Config
	script   []byte
}

func newMove(t *testing.T) *move {
	t.Helper()
	root, err := storetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile(filepath.Join(root, "sql", "migration", "from-netty-socketio.sql"))
	if err != nil {
		t.Fatal(err)
	}
	m := &move{t, storetest.DSN(t, store.MySQL), storetest.DSN(t, store.MySQL), script}
	m.must(m.from, old)
	up := exec.Command(raced, "migrate", "up")
	up.Dir = t.TempDir()
	up.Env = append(os.Environ(), "ROLLCALL_DATABASE_DRIVER=mysql", "ROLLCALL_DATABASE_DSN="+m.to.DSN)
	if out, err := up.CombinedOutput(); err != nil {
		t.Fatalf("migrate up: %v\n%s", err, out)
	}
	return m
}

// views returns the statements that the script gives as an example, for the old database as it is called here.
func (m *move) views() (four []string) {
	m.t.Helper()
	var example strings.Builder
	for _, line := range regexp.MustCompile(`(?m)^--   (.*)$`).FindAllSubmatch(m.script, -1) {
		example.Write(append(line[1], ' '))
	}
	_, statements, _ := strings.Cut(example.String(), "CREATE VIEW")
	four = strings.SplitN("CREATE VIEW"+strings.ReplaceAll(statements, "meeting.", m.name(m.from)+"."), ";", 5)
	if len(four) != 5 {
		m.t.Fatalf("the script shows no four views: %q", four)
	}
	return four[:4]
}

func (m *move) name(c store.Config) string {
	dsn, err := mysql.ParseDSN(c.DSN)
	if err != nil {
		m.t.Fatal(err)
	}
	return dsn.DBName
}

// run gives statements to the command-line client, as an administrator does.
func (m *move) run(in store.Config, statements string) (string, error) {
	m.t.Helper()
	dsn, err := mysql.ParseDSN(in.DSN)
	if err != nil {
		m.t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(dsn.Addr)
	if err != nil {
		m.t.Fatal(err)
	}
	client := exec.Command("mariadb", "--no-defaults", "--protocol=tcp", "-h", host, "-P", port, "-u", dsn.User, "--default-character-set=utf8mb4", "--table", dsn.DBName)
	client.Stdin = strings.NewReader(statements)
	out, err := client.CombinedOutput()
	return string(out), err
}

func (m *move) must(in store.Config, statements string) string {
	m.t.Helper()
	out, err := m.run(in, statements)
	if err != nil {
		m.t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// rows returns everything in the tables that the script fills.
func (m *move) rows(db *sql.DB) string {
	m.t.Helper()
	var all strings.Builder
	for _, table := range []string{"users", "conferences", "conference_members", "conference_nodes"} {
		rows, err := db.Query("SELECT * FROM " + table + " ORDER BY 1, 2")
		if err != nil {
			m.t.Fatal(err)
		}
		columns, err := rows.Columns()
		if err != nil {
			m.t.Fatal(err)
		}
		cells := make([]sql.RawBytes, len(columns))
		into := make([]any, len(columns))
		for i := range cells {
			into[i] = &cells[i]
		}
		for rows.Next() {
			if err := rows.Scan(into...); err != nil {
				m.t.Fatal(err)
			}
			fmt.Fprintf(&all, "%s: %s\n", table, bytes.Join(toBytes(cells), []byte(" | ")))
		}
		if err := rows.Err(); err != nil {
			m.t.Fatal(err)
		}
	}
	return all.String()
}

func toBytes(cells []sql.RawBytes) [][]byte {
	out := make([][]byte, len(cells))
	for i, c := range cells {
		out[i] = c
	}
	return out
}

// An S2 installation is moved over by the script, and its clients go on.
func TestMigrationFromNettySocketIO(t *testing.T) {
	m := newMove(t)
	views := m.views()
	db, err := sql.Open("mysql", m.to.DSN)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })

	m.must(m.to, strings.Join(views[:3], ";"))
	if out, err := m.run(m.to, string(m.script)); err == nil || m.rows(db) != "" {
		t.Fatalf("without a view the script must fail and move nothing: %v\n%s\n%s", err, out, m.rows(db))
	}
	m.must(m.to, views[3])
	out := m.must(m.to, string(m.script))
	for _, want := range []string{
		`\| users +\| +4 \| +5 \|`, `\| trees +\| +2 \| +1 \|`, `\| members +\| +3 \| +3 \|`,
		`\| presence +\| 44 +\| spaced out +\|`, `\| presence +\| 42 +\| undefined +\|`, `\| tree +\| 0 +\| +\|`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("the script does not report %s:\n%s", want, out)
		}
	}
	if n := strings.Count(out, "| presence") + strings.Count(out, "| user ") + strings.Count(out, "| member ") + strings.Count(out, "| tree "); n != 3 {
		t.Errorf("%d rows were skipped, want 3:\n%s", n, out)
	}
	before := m.rows(db)
	m.must(m.to, string(m.script))
	if after := m.rows(db); after != before {
		t.Errorf("the second run changed\n%s\nto\n%s", before, after)
	}

	s := launch(t, store.MySQL, settings{"database.dsn": m.to.DSN})
	s.db = m.to
	s.goesOn()
	before = m.rows(db)
	m.must(m.to, string(m.script))
	if after := m.rows(db); after != before {
		t.Errorf("a run later on changed\n%s\nto\n%s", before, after)
	}
	storetest.Show(t, "an S2 database moved by sql/migration/from-netty-socketio.sql, then used by clients of 2.5: names, members, tabs and digits are there, a broken section is left out")
}

// goesOn uses what was moved, with the clients that S2 had.
func (s *server) goesOn() {
	t := s.t
	t.Helper()
	var tree map[string]any
	s.must("GET", "/api/v1/conferences/42/tree", nil, &tree)
	if _, broken := tree["topicInfo"]; broken || tree["countersignData"] != nil || tree["timer"] != nil {
		t.Errorf("what is broken or blank is in the tree: %v", tree)
	}
	var raw string
	s.call("GET", "/api/v1/conferences/42/tree", nil, &raw)
	if !strings.Contains(raw, `"big":1234567890123456789`) {
		t.Errorf("digits were lost: %s", raw)
	}
	if n := s.metric("rollcall_broken_sections_total"); n != 1 {
		t.Errorf("%v broken sections were counted, want 1", n)
	}

	anna := s.page("s2", "7", "42")
	anna.sees("note_tree", `"conferenceStatus":"1"`, `"text":"tab\there\nand\ta line"`, `"onLineNumber":1`, `"title":"Βoard"`, `"sameScreen":{"isShare":"0","stream":1}`, `"signInData":{"signed":[]}`)
	s.page("s2", "8", "42")
	anna.sees("came", `"Βέν"`)
	s.page("s2", "1234567890123456789", "42")
	anna.sees("came", `"`+strings.Repeat("ü", 255)+`"`)
	s.page("s2", "12", "42")
	anna.sees("came", `"Never came"`)
	anna.sees("note_tree", `"onLineNumber":4`)

	var roster struct {
		Online, Expected int
		Users            []struct{ UserID, UserName, Role, State string }
	}
	s.must("GET", "/api/v1/conferences/42/presence", nil, &roster)
	if roster.Online != 4 || roster.Expected != 3 || len(roster.Users) != 4 {
		t.Errorf("the roster is %+v, want the three members and a guest", roster)
	}
	s.must("GET", "/api/v1/conferences/43/presence", nil, &roster)
	if roster.Online != 0 || len(roster.Users) != 0 {
		t.Errorf("somebody is in conference 43 because S2 left him online: %+v", roster)
	}

	s.must("PATCH", "/api/v1/conferences/42/tree", `{"topicInfo":{"title":"mended"}}`, nil)
	anna.sees("note_tree", `"title":"mended"`)
	s.must("POST", "/api/v1/push", `{"sendUserId":8,"userIds":[7],"message":{"n":1},"destination":"vote_start","conferenceId":42}`, nil)
	anna.sees("vote_start", `{"n":1}`)
}
