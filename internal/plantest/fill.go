package plantest

import (
	"database/sql"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/id"
)

// What New makes, in numbers. Users are u1 to u5000, conferences c1 to c2000 with 20 people each, one of them online, on the node
// "far", which nobody runs. The even ones have ended.
const (
	Users       = 5_000
	Conferences = 2_000
	People      = 20
	Notices     = 50_000
)

// ages is over how many days notices and sessions are spread, evenly.
const ages = 50

// filling makes the rows. seq is a table of numbers that MariaDB has; $now is a time in milliseconds, $past one up to 50 days before
// it, $id an ID of that time.
var filling = []string{
	"INSERT INTO users SELECT CONCAT('u', seq), CONCAT('User ', seq), $now FROM seq_1_to_5000",
	"INSERT INTO conferences SELECT CONCAT('c', seq), CONCAT('Meeting ', seq), IF(seq % 2 = 0, $now, NULL), $now, $now FROM seq_1_to_2000",
	`INSERT INTO conference_versions (conference_id, tree_version, content_version, roster_version) SELECT CONCAT('c', seq), 5, 2, 5 FROM seq_1_to_2000`,
	`INSERT INTO conference_nodes (conference_id, topic_content, head_data) SELECT CONCAT('c', seq), '{"title":"a topic"}', '{"onLineNumber":1}' FROM seq_1_to_2000`,
	`INSERT INTO conference_members (conference_id, user_id, name, sort)
		SELECT CONCAT('c', 1 + seq DIV 20), CONCAT('u', 1 + seq * 7 % 5000), '', seq % 20 FROM seq_0_to_39999`,
	`INSERT INTO presence (conference_id, user_id, user_name, state, since, arrived_at, reason)
		SELECT conference_id, user_id, user_id, IF(sort = 0, 'online', 'offline'), $now - 3600000, $now - 7200000, IF(sort = 0, '', 'left') FROM conference_members`,
	"INSERT INTO notice_announcements (conference_id, user_id, said, change_no) SELECT conference_id, user_id, state, 2 FROM presence",
	`INSERT INTO presence_sessions (id, conference_id, user_id, user_name, node_id, epoch, opened_at, closed_at, reason)
		SELECT $id, CONCAT('c', 1 + seq DIV 20), CONCAT('u', 1 + seq * 7 % 5000), '', IF(seq % 20 = 0, 'far', 'past'), 1, $past, IF(seq % 20 = 0, NULL, $past + 1800000), IF(seq % 20 = 0, '', 'left') FROM seq_0_to_39999`,
	"INSERT INTO session_aliases SELECT id, CONCAT('token of ', id) FROM presence_sessions WHERE closed_at IS NULL",
	`INSERT INTO notices (id, conference_id, sender_id, event, category, label, send_type, message, audience, sent, state, created_at, to_all, stored, sent_at)
		SELECT $id, CONCAT('c', 1 + seq * 13 % 2000), CONCAT('u', 1 + seq * 3 % 5000), ELT(1 + seq % 4, 'notice', 'chat message', 'online_notice', 'offline_notice'),
			ELT(1 + seq % 3, 'system', 'remind', 'mailbox'), '', '', '"said"', 1, 1, 'sent', $past, seq % 25 = 0, seq % 2 = 0, $past FROM seq_0_to_49999`,
	`INSERT INTO notice_deliveries (notice_id, user_id, state, at, inbox)
		SELECT $id, CONCAT('u', 1 + seq * 11 % 5000), IF(seq % 40 = 0, 'sent', 'read'), $past, IF(seq % 4 = 0, IF(seq % 40 = 0, 1, 2), 0) FROM seq_0_to_49999`,
	"INSERT INTO notice_readers SELECT CONCAT('u', seq), $now - 86400000 FROM seq_1_to_5000",
	"INSERT INTO notice_marks SELECT CONCAT('u', seq), '', $now - 3 * 86400000 FROM seq_1_to_5000",
	"INSERT INTO notice_client_messages SELECT CONCAT('u', 1 + seq % 5000), CONCAT('m', seq), $id, IF(seq % 2 = 0, $past, $now) FROM seq_0_to_9999",
	"INSERT INTO notice_due SELECT $id, 'send', $now + 86400000 + seq FROM seq_0_to_1999",
	"INSERT INTO notice_held (id, user_id, event, args, expires_at) SELECT $id, CONCAT('u', 1 + seq), 'notice', '[]', $now + 86400000 FROM seq_0_to_1999",
	"INSERT INTO conference_timers SELECT CONCAT('c', 1 + seq), $now + 86400000 + seq FROM seq_0_to_999",
	"INSERT INTO conference_shares (conference_id, user_id) SELECT CONCAT('c', 1 + seq), CONCAT('u', 1 + seq) FROM seq_0_to_999",
	"INSERT INTO presence_bars SELECT CONCAT('u', 2501 + seq), CONCAT('c', 1 + seq), $now + 86400000 FROM seq_0_to_1999",
	"INSERT INTO webhook_lanes (endpoint, conference_id, seq) SELECT REPEAT('a', 32), CONCAT('c', 1 + seq), 10 FROM seq_0_to_1999",
	`INSERT INTO webhook_outbox (id, endpoint, url, conference_id, seq, type, body, state, created_at)
		SELECT $id, REPEAT('a', 32), 'http://127.0.0.1/', CONCAT('c', 1 + seq % 2000), seq, 'notice', '{}', IF(seq % 100 = 0, 'dead', 'sent'), $past FROM seq_0_to_19999`,
	"INSERT INTO idempotency_keys (id, body_digest, status, answer, created_at) SELECT SHA2(seq, 256), SHA2(seq, 256), 200, '{}', $now - seq * 20000 FROM seq_0_to_4999",
	"INSERT INTO console_sessions SELECT SHA2(seq, 256), SHA2(seq % 50, 256), $past, $past + 86400000 * 60 FROM seq_0_to_4999",
	"INSERT INTO mailbox (from_node, kind, body, created_at) SELECT 'far', 'planted', '{}', NOW(3) - INTERVAL 10 MINUTE + INTERVAL seq SECOND FROM seq_0_to_599",
	"INSERT INTO nodes SELECT CONCAT('old', seq), 1, 'stopped', $now - 600000, $now - 7200000, 0 FROM seq_1_to_50",
	"INSERT INTO nodes SELECT 'far', 1, 'up', $now, $now - 7200000, 2000",
}

// lastNumber is how many numbers a statement takes, less one.
var lastNumber = regexp.MustCompile(`\d+$`)

// fill fills tables, all of them if none is named, with what a busy year leaves, and has MariaDB look at how it is spread.
func fill(t testing.TB, db *sql.DB, tables []string) {
	t.Helper()
	now := time.Now()
	prefixes := make([]string, ages)
	for i := range prefixes {
		prefixes[i] = "'" + id.Floor(now.AddDate(0, 0, i-ages))[:10] + "'"
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatalf("connect to the test database: %v", err)
	}
	defer conn.Close()
	do := func(statement string) {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%v: %.500s", err, statement)
		}
	}
	do("SET unique_checks = 0, foreign_key_checks = 0") // MariaDB then sorts what goes into an empty table
	for _, s := range filling {
		if table := strings.Fields(s)[2]; len(tables) > 0 && !slices.Contains(tables, table) {
			continue
		}
		day := "LEAST(50, 1 + seq * 50 DIV " + lastNumber.FindString(s) + ")"
		do(strings.NewReplacer(
			"$now", "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
			"$past", "(CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) - (51 - "+day+") * 86400000)",
			"$id", "CONCAT(ELT("+day+", "+strings.Join(prefixes, ", ")+"), LPAD(seq, 16, '0'))",
		).Replace(s))
	}
	do("ANALYZE TABLE " + strings.Join(Tables(t, db), ", "))
}

// Crowd puts people, p1 to pN, into a conference that nobody has been in. They are online on the node "far", and members of it.
func Crowd(t testing.TB, db *sql.DB, conference string, n int) {
	t.Helper()
	now := "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)"
	Do(t, db, "INSERT INTO conferences SELECT ?, '', NULL, "+now+", "+now, conference)
	Do(t, db, "INSERT INTO conference_members (conference_id, user_id, sort) SELECT ?, CONCAT('p', seq), seq FROM seq_1_to_5000 WHERE seq <= ?", conference, n)
	Do(t, db, "INSERT INTO presence (conference_id, user_id, user_name, state, since, arrived_at) SELECT ?, CONCAT('p', seq), '', 'online', "+now+" - 60000, "+now+" - 60000 FROM seq_1_to_5000 WHERE seq <= ?", conference, n)
	Do(t, db, "INSERT INTO presence_sessions (id, conference_id, user_id, node_id, epoch, opened_at) SELECT CONCAT(?, LPAD(seq, 12, '0')), ?, CONCAT('p', seq), 'far', 1, "+now+" - 60000 FROM seq_1_to_5000 WHERE seq <= ?", id.New()[:14], conference, n)
}

// Tables are those of a database, but for the one that says how far it is migrated.
func Tables(t testing.TB, db *sql.DB) (names []string) {
	t.Helper()
	found, err := db.QueryContext(t.Context(), "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name <> 'schema_version' ORDER BY table_name")
	if err != nil {
		t.Fatalf("list tables: %v", err)
	}
	defer found.Close()
	for found.Next() {
		var name string
		if err := found.Scan(&name); err != nil {
			t.Fatalf("list tables: %v", err)
		}
		names = append(names, name)
	}
	if err := found.Err(); err != nil || len(names) == 0 {
		t.Fatalf("list tables: %d, %v", len(names), err)
	}
	return names
}

// Do lets a foreign hand write the database.
func Do(t testing.TB, db *sql.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatalf("%.500s: %v", statement, err)
	}
}
