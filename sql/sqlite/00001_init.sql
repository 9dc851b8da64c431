-- +goose Up

-- Names of users. A backend may fill it with plain INSERTs.
CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL DEFAULT '',
    updated_at INTEGER NOT NULL DEFAULT 0
);

-- Conferences somebody registered or joined. ended_at is null while the conference lives.
CREATE TABLE conferences (
    id TEXT NOT NULL PRIMARY KEY,
    title TEXT NOT NULL DEFAULT '',
    ended_at INTEGER NULL,
    created_at INTEGER NOT NULL DEFAULT 0,
    updated_at INTEGER NOT NULL DEFAULT 0
);

-- What only rollcall writes about a conference: versions that never go back (the row outlives the conference), a
-- digest of the tree's content at its version, and the JSON that REST gave for conference_status. Locking this row is the lock of the conference.
CREATE TABLE conference_versions (
    conference_id TEXT NOT NULL PRIMARY KEY,
    tree_version INTEGER NOT NULL DEFAULT 0,
    content_version INTEGER NOT NULL DEFAULT 0,
    roster_version INTEGER NOT NULL DEFAULT 0,
    members_version INTEGER NOT NULL DEFAULT 0,
    content_digest TEXT NOT NULL DEFAULT '',
    status_json TEXT NOT NULL DEFAULT ''
);

-- Who belongs to a conference.
CREATE TABLE conference_members (
    conference_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    name TEXT NOT NULL DEFAULT '',
    role TEXT NOT NULL DEFAULT 'member',
    attrs TEXT NULL,
    sort INTEGER NOT NULL DEFAULT 0,
    excused INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (conference_id, user_id)
);
CREATE INDEX conference_members_order_idx ON conference_members (conference_id, sort, user_id);
CREATE INDEX conference_members_user_idx ON conference_members (user_id);

-- The tree: one row per conference. Others write it too, what they like; rollcall reads it with care.
CREATE TABLE conference_nodes (
    conference_id TEXT NOT NULL PRIMARY KEY,
    conference_status TEXT NULL,
    conference_content TEXT NULL,
    topic_content TEXT NULL,
    countersign_data TEXT NULL,
    timer TEXT NULL,
    same_screen TEXT NULL,
    head_data TEXT NULL,
    sign_in_data TEXT NULL,
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f','now'))
);

-- What ON UPDATE CURRENT_TIMESTAMP does in MySQL: a plain UPDATE by a backend is noticed by its new updated_at.
-- +goose StatementBegin
CREATE TRIGGER conference_nodes_touch AFTER UPDATE ON conference_nodes
WHEN NEW.updated_at = OLD.updated_at
BEGIN
    UPDATE conference_nodes SET updated_at = strftime('%Y-%m-%d %H:%M:%f', 'now') WHERE conference_id = NEW.conference_id;
END;
-- +goose StatementEnd

-- What rollcall says of a user in a conference. Derived from presence_sessions; times are milliseconds since 1970.
-- name_rank says where user_name came from: 3 token, 2 users, 1 members, 0 handshake.
CREATE TABLE presence (
    conference_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    user_name TEXT NOT NULL DEFAULT '',
    name_rank INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL,
    since INTEGER NOT NULL,
    arrived_at INTEGER NOT NULL,
    offline_due_at INTEGER NULL,
    reason TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (conference_id, user_id)
);
CREATE INDEX presence_state_idx ON presence (conference_id, state, arrived_at, user_id);
CREATE INDEX presence_due_idx ON presence (offline_due_at);
CREATE INDEX presence_user_idx ON presence (user_id, state);
CREATE INDEX presence_online_idx ON presence (state, user_id, conference_id);

-- One row per stay of a socket in a conference (or in none, ''): opened, and closed with a reason.
CREATE TABLE presence_sessions (
    id TEXT NOT NULL PRIMARY KEY,
    conference_id TEXT NOT NULL DEFAULT '',
    user_id TEXT NOT NULL,
    user_name TEXT NOT NULL DEFAULT '',
    client_type TEXT NOT NULL DEFAULT 'web',
    device_id TEXT NOT NULL DEFAULT '',
    ip TEXT NOT NULL DEFAULT '',
    node_id TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    closed_at INTEGER NULL,
    reason TEXT NOT NULL DEFAULT ''
);
CREATE INDEX presence_sessions_open_idx ON presence_sessions (conference_id, user_id, closed_at);
CREATE INDEX presence_sessions_user_idx ON presence_sessions (user_id, closed_at);
CREATE INDEX presence_sessions_node_idx ON presence_sessions (node_id, epoch, closed_at);
CREATE INDEX presence_sessions_closed_idx ON presence_sessions (closed_at, node_id, epoch);

-- One row per process that ever served. heartbeat_at is the database's clock, in milliseconds.
CREATE TABLE nodes (
    id TEXT NOT NULL PRIMARY KEY,
    epoch INTEGER NOT NULL,
    state TEXT NOT NULL,
    heartbeat_at INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    sockets INTEGER NOT NULL DEFAULT 0
);

-- The notice log: what was said to whom. id sorts by time.
CREATE TABLE notices (
    id TEXT NOT NULL PRIMARY KEY,
    conference_id TEXT NOT NULL DEFAULT '',
    sender_id TEXT NOT NULL DEFAULT '',
    sender_name TEXT NOT NULL DEFAULT '',
    actor TEXT NOT NULL DEFAULT '',
    event TEXT NOT NULL,
    category TEXT NOT NULL DEFAULT '',
    label TEXT NOT NULL DEFAULT '',
    send_type TEXT NOT NULL DEFAULT '',
    message TEXT NULL,
    audience INTEGER NOT NULL DEFAULT 0,
    sent INTEGER NOT NULL DEFAULT 0,
    acked INTEGER NOT NULL DEFAULT 0,
    read_count INTEGER NOT NULL DEFAULT 0,
    from_ip TEXT NOT NULL DEFAULT '',
    online INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE INDEX notices_conference_idx ON notices (conference_id, id);
CREATE INDEX notices_sender_idx ON notices (sender_id, id);
CREATE INDEX notices_event_idx ON notices (event, id);
CREATE INDEX notices_label_idx ON notices (label, id);
CREATE INDEX notices_category_idx ON notices (category, id);
CREATE INDEX notices_state_idx ON notices (state, id);
CREATE INDEX notices_send_type_idx ON notices (send_type, id);

-- What became of a notice for one of its recipients.
CREATE TABLE notice_deliveries (
    notice_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    state TEXT NOT NULL,
    at INTEGER NOT NULL,
    session_id TEXT NOT NULL DEFAULT '',
    client_type TEXT NOT NULL DEFAULT '',
    device_id TEXT NOT NULL DEFAULT '',
    ip TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (notice_id, user_id)
);
CREATE INDEX notice_deliveries_user_idx ON notice_deliveries (user_id, notice_id);

-- What a conference was last told about one of its users (said), and when it must be looked at again (due_at).
-- change_no counts the changes of the user's presence; held_no is the last of them whose suppression is in the log.
CREATE TABLE notice_announcements (
    conference_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    said TEXT NOT NULL DEFAULT '',
    due_at INTEGER NULL,
    change_no INTEGER NOT NULL DEFAULT 0,
    held_no INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (conference_id, user_id)
);
CREATE INDEX notice_announcements_due_idx ON notice_announcements (due_at);

-- Answers already given, by caller, method, path and key.
CREATE TABLE idempotency_keys (
    id TEXT NOT NULL PRIMARY KEY,
    body_digest TEXT NOT NULL,
    status INTEGER NOT NULL DEFAULT 0,
    answer TEXT NULL,
    created_at INTEGER NOT NULL
);
CREATE INDEX idempotency_keys_created_idx ON idempotency_keys (created_at);

-- +goose Down
DROP TABLE idempotency_keys;
DROP TABLE notice_announcements;
DROP TABLE notice_deliveries;
DROP TABLE notices;
DROP TABLE nodes;
DROP TABLE presence_sessions;
DROP TABLE presence;
DROP TABLE conference_nodes;
DROP TABLE conference_members;
DROP TABLE conference_versions;
DROP TABLE conferences;
DROP TABLE users;
