package system_test

import "rollcall/internal/plantest"

// fineOnHotPath are the statements that may read all of something, or much of it, and why. Of the people in the database 2,000 are
// online, more than a call may be about.
var fineOnHotPath = []plantest.Fine{
	{Part: "schema_version", Scan: true, Why: "a row per release of the schema, read once at the start"},
	{Part: "information_schema.tables", Scan: true, Why: "asked once at the start, whether there is a schema"},
	{Part: "FROM `nodes` ORDER BY id", Scan: true, Why: "a row per process of the last day, all of them asked for"},
	{Part: "FROM `nodes` WHERE state = ? AND id <> ?", Scan: true, Why: "a row per process of the last day: as many as one page of an index"},
	{Part: "FROM `webhook_outbox` ORDER BY id DESC LIMIT ?", Scan: true, Why: "the newest, from the end of the key on; LIMIT ends it"},
	{Part: "FROM notices AS n ORDER BY n.id DESC LIMIT ?", Scan: true, Why: "the newest, from the end of the key on; LIMIT ends it"},
	{Part: "SELECT `id` FROM `mailbox` ORDER BY id DESC LIMIT ?", Scan: true, Why: "the newest, from the end of the key on; LIMIT ends it; once at the start"},

	{Part: "COUNT(*) FROM notice_readers", Scan: true, Rows: 25_000, Why: "a notice to all says how many it is for: counted, once for each"},
	{Part: "COUNT(*) AS count FROM notices AS n FORCE INDEX (notices_all) LEFT", Rows: 4_500, Why: "who has never read all has 1,000 notices unread: counted, for counts are not kept"},
	{Part: "SELECT * FROM `presence_sessions` WHERE (closed_at IS NULL AND node_id <> ?) AND (node_id IN (SELECT", Rows: 2_500, Why: "a push to all goes to everybody who is connected elsewhere"},
	{Part: "COUNT(DISTINCT user_id) FROM presence WHERE state", Rows: 2_500, Why: "a push to all says how many are online"},
	{Part: "COUNT(DISTINCT conference_id) FROM presence WHERE state", Rows: 2_500, Why: "the summary counts who is online"},
	{Part: "COUNT(DISTINCT user_id) FROM presence_sessions WHERE closed_at IS NULL", Rows: 2_500, Why: "the summary counts who is connected"},
	{Part: "SELECT client_type, COUNT(*)", Rows: 4_500, Why: "the summary counts who is connected"},
	{Part: "p.state = ? AND p.since <", Rows: 4_500, Why: "every few seconds everybody who is called online is looked after, with one look for a session of his"},
	{Part: "ELSE n.started_at END AS heard_at", Rows: 2_500, Why: "every few seconds it is looked whether the nodes of all who are connected live"},
}

// fineOnSQLite says what else looks like a scan there.
var fineOnSQLite = []plantest.Fine{{Part: "FROM webhook_outbox WHERE state = ? LIMIT ?) AS p", Scan: true, Why: "p is not the table, but what was found in it"}}

// notForSQLite are parts of statements that one process alone does not say, or the library for migrations says in other words.
var notForSQLite = []string{"mailbox", "node_id <> ?", "schema_version", "information_schema", "nodes` WHERE state = ? AND id <> ?"}

// hotPath are parts of the statements that must have been heard: without them the test would say nothing.
var hotPath = []string{
	// Who may come in, comes, and goes.
	"FROM `presence_bars` WHERE user_id IN (?)", "`id`,`ended_at` FROM `conferences` WHERE id IN (?)", "`conference_id`,`user_id` FROM `conference_members`", "SELECT asked.id FROM", "INSERT INTO `conferences`",
	"FROM `conference_versions` WHERE conference_id IN (?) ORDER BY conference_id FOR UPDATE", "LOCK IN SHARE MODE", "`id`,`closed_at` FROM `presence_sessions` WHERE id IN (?)",
	"`id`,`conference_id`,`user_id` FROM `presence_sessions`", "FROM `presence` WHERE conference_id = ? AND user_id IN (?)", "FROM notice_readers AS r WHERE r.user_id IN (?)", "FROM conference_versions AS v LEFT JOIN conference_nodes", "`id`,`name` FROM `users` WHERE id IN (?)", "user_id, COUNT(*) AS n FROM `presence_sessions`",
	"INSERT INTO `presence_sessions`", "INSERT INTO `presence`", "SELECT conference_id, COUNT(*) AS n FROM `presence`", "SET tree_version = tree_version + ?, roster_version", "INSERT INTO `session_aliases`",
	"offline_due_at <= CAST", "FROM `presence_sessions` WHERE user_id IN (?) AND conference_id = ? AND closed_at IS NULL", "INSERT INTO `presence_bars`", "DELETE FROM `conference_members` WHERE conference_id",
	// Nodes, and what is repaired.
	"UPDATE nodes SET heartbeat_at", "FROM `nodes` WHERE state = ? AND id <> ?", "UPDATE `nodes` SET `state`=?", "WHERE s.node_id = ? AND s.epoch = ? AND s.closed_at IS NULL", "AS heard_at FROM presence_sessions s", "p.state = ? AND p.since <",
	"INSERT INTO `mailbox`", "FROM `mailbox` WHERE id >= ?", "FROM `mailbox` ORDER BY id DESC",
	// Trees, and what is shown.
	"AS stamp FROM `conference_nodes` WHERE conference_id = ?", "AS stamp FROM `conference_nodes` WHERE conference_id IN (?)", "FROM `conference_versions` WHERE conference_id IN (?)", "SUM(CASE WHEN excused", "FROM conference_members m LEFT JOIN presence p",
	"FROM presence p LEFT JOIN conference_members m", "FROM `presence_sessions` WHERE conference_id = ? AND user_id IN (?) AND closed_at IS NULL", "UPDATE `conference_nodes` SET `topic_content`", "UPDATE `conference_nodes` SET `head_data`", "UPDATE `conference_versions` SET `content_digest`=?",
	"INSERT INTO `conference_timers`", "FROM `conference_timers` WHERE ends_at >= ?", "UPDATE `conference_nodes` SET `timer`", "UPDATE `conference_nodes` SET `sign_in_data`", "INSERT INTO `conference_shares`", "FROM `conference_shares` WHERE due_at >= ?",
	"FROM `conference_shares` WHERE conference_id > ? AND session_id <> ?", "FROM `conference_shares` WHERE conference_id IN (?)", "UPDATE `conference_nodes` SET `same_screen`",
	// What is said of who came and went.
	"INSERT INTO `notice_announcements`", "FROM `notice_announcements` WHERE due_at <= ?", "FOR UPDATE", "INSERT INTO `notices`",
	// Notices, and inboxes.
	"INSERT INTO `notice_deliveries`", "INSERT INTO `notice_due`", "FROM `notice_due` WHERE due_at <= ?", "MIN(due_at)", "COUNT(*) FROM users", "INSERT INTO `idempotency_keys`", "FROM `idempotency_keys` WHERE created_at < ?", "UPDATE `idempotency_keys`",
	"INSERT INTO `notice_held`", "FROM notice_held AS h", "FROM `notice_held` WHERE expires_at <= ?", "FROM `notice_readers` WHERE user_id IN (?)", "INSERT INTO `notice_readers`", "FROM `notice_marks`", "INSERT INTO `notice_marks`", "AS user_no",
	"n.category, COUNT(*) AS count FROM notice_deliveries", "n.category, COUNT(*) AS count FROM notices AS n FORCE INDEX (notices_all_sent)", "AS inbox FROM notice_deliveries", "AS inbox FROM notices", "UPDATE notices SET sent = CASE id", "AS seen FROM notice_deliveries",
	"SET `sent`=?,`sent_at`=?", "UPDATE `notice_deliveries` SET", "UPDATE `notices` SET `state`=? WHERE id = ?", "FROM `conference_members` WHERE conference_id = ? ORDER BY sort", "INSERT INTO `notice_client_messages`", "FORCE INDEX (notices_chat)",
	// What the meeting backend is told.
	"INSERT INTO `webhook_outbox`", "INSERT INTO webhook_lanes", "FROM `webhook_lanes` WHERE due_at <=", "FROM `webhook_outbox` WHERE endpoint = ?", "UPDATE `webhook_outbox`", "UPDATE `webhook_lanes`", "FROM webhook_outbox WHERE state = ?",
	// What is looked at over REST.
	"SELECT DISTINCT `user_id` FROM `presence` WHERE state = ? AND user_id > ?", "COUNT(DISTINCT user_id) FROM presence_sessions", "FROM `presence` WHERE user_id IN (?) AND state IN (?)", "FROM `conferences` WHERE id > ?", "FORCE INDEX (notices_conference)",
	"FORCE INDEX (notice_deliveries_user)", "FROM `notice_deliveries` WHERE notice_id = ? AND user_id > ?", "opened_at <= ?", "FROM session_aliases", "INSERT INTO `console_sessions`", "WHERE fingerprint = ?", "`console_sessions` WHERE expires_at <= ?",
}
