-- +goose Up

-- Names of users. A backend may fill it with plain INSERTs.
CREATE TABLE users (
    id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
    name VARCHAR(255) NOT NULL DEFAULT '',
    updated_at BIGINT NOT NULL DEFAULT 0
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- Conferences somebody registered or joined. ended_at is null while the conference lives.
CREATE TABLE conferences (
    id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
    title VARCHAR(255) NOT NULL DEFAULT '',
    ended_at BIGINT NULL,
    created_at BIGINT NOT NULL DEFAULT 0,
    updated_at BIGINT NOT NULL DEFAULT 0
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- What only rollcall writes about a conference: versions that never go back (the row outlives the conference), a
-- digest of the tree's content at its version, and the JSON that REST gave for conference_status. Locking this row is the lock of the conference.
CREATE TABLE conference_versions (
    conference_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
    tree_version BIGINT NOT NULL DEFAULT 0,
    content_version BIGINT NOT NULL DEFAULT 0,
    roster_version BIGINT NOT NULL DEFAULT 0,
    members_version BIGINT NOT NULL DEFAULT 0,
    content_digest CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
    status_json VARCHAR(255) NOT NULL DEFAULT ''
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- Who belongs to a conference.
CREATE TABLE conference_members (
    conference_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    user_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    name VARCHAR(255) NOT NULL DEFAULT '',
    role VARCHAR(16) NOT NULL DEFAULT 'member',
    attrs TEXT NULL,
    sort BIGINT NOT NULL DEFAULT 0,
    excused TINYINT(1) NOT NULL DEFAULT 0,
    PRIMARY KEY (conference_id, user_id),
    KEY conference_members_order (conference_id, sort, user_id),
    KEY conference_members_user (user_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- The tree: one row per conference. Others write it too, what they like; rollcall reads it with care.
CREATE TABLE conference_nodes (
    conference_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
    conference_status MEDIUMTEXT NULL,
    conference_content MEDIUMTEXT NULL,
    topic_content MEDIUMTEXT NULL,
    countersign_data MEDIUMTEXT NULL,
    timer MEDIUMTEXT NULL,
    same_screen MEDIUMTEXT NULL,
    head_data MEDIUMTEXT NULL,
    sign_in_data MEDIUMTEXT NULL,
    updated_at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- What rollcall says of a user in a conference. Derived from presence_sessions; times are milliseconds since 1970.
-- name_rank says where user_name came from: 3 token, 2 users, 1 members, 0 handshake.
CREATE TABLE presence (
    conference_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    user_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    user_name VARCHAR(255) NOT NULL DEFAULT '',
    name_rank TINYINT NOT NULL DEFAULT 0,
    state VARCHAR(16) NOT NULL,
    since BIGINT NOT NULL,
    arrived_at BIGINT NOT NULL,
    offline_due_at BIGINT NULL,
    reason VARCHAR(16) NOT NULL DEFAULT '',
    PRIMARY KEY (conference_id, user_id),
    KEY presence_state (conference_id, state, arrived_at, user_id),
    KEY presence_due (offline_due_at),
    KEY presence_user (user_id, state),
    KEY presence_online (state, user_id, conference_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- One row per stay of a socket in a conference (or in none, ''): opened, and closed with a reason.
CREATE TABLE presence_sessions (
    id CHAR(26) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    conference_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    user_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    user_name VARCHAR(255) NOT NULL DEFAULT '',
    client_type VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT 'web',
    device_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    ip VARCHAR(64) NOT NULL DEFAULT '',
    node_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    epoch BIGINT NOT NULL,
    opened_at BIGINT NOT NULL,
    closed_at BIGINT NULL,
    reason VARCHAR(16) NOT NULL DEFAULT '',
    KEY presence_sessions_open (conference_id, user_id, closed_at),
    KEY presence_sessions_user (user_id, closed_at),
    KEY presence_sessions_node (node_id, epoch, closed_at),
    KEY presence_sessions_closed (closed_at, node_id, epoch)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- One row per process that ever served. heartbeat_at is the database's clock, in milliseconds.
CREATE TABLE nodes (
    id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
    epoch BIGINT NOT NULL,
    state VARCHAR(16) NOT NULL,
    heartbeat_at BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    sockets BIGINT NOT NULL DEFAULT 0
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- The notice log: what was said to whom. id sorts by time.
CREATE TABLE notices (
    id CHAR(26) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    conference_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    sender_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    sender_name VARCHAR(255) NOT NULL DEFAULT '',
    actor VARCHAR(64) NOT NULL DEFAULT '',
    event VARCHAR(64) NOT NULL,
    category VARCHAR(32) NOT NULL DEFAULT '',
    label VARCHAR(255) NOT NULL DEFAULT '',
    send_type VARCHAR(64) NOT NULL DEFAULT '',
    message MEDIUMTEXT NULL,
    audience BIGINT NOT NULL DEFAULT 0,
    sent BIGINT NOT NULL DEFAULT 0,
    acked BIGINT NOT NULL DEFAULT 0,
    read_count BIGINT NOT NULL DEFAULT 0,
    from_ip VARCHAR(64) NOT NULL DEFAULT '',
    online BIGINT NOT NULL DEFAULT 0,
    state VARCHAR(16) NOT NULL,
    created_at BIGINT NOT NULL,
    KEY notices_conference (conference_id, id),
    KEY notices_sender (sender_id, id),
    KEY notices_event (event, id),
    KEY notices_label (label, id),
    KEY notices_category (category, id),
    KEY notices_state (state, id),
    KEY notices_send_type (send_type, id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- What became of a notice for one of its recipients.
CREATE TABLE notice_deliveries (
    notice_id CHAR(26) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    user_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    state VARCHAR(16) NOT NULL,
    at BIGINT NOT NULL,
    session_id VARCHAR(32) NOT NULL DEFAULT '',
    client_type VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    device_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    ip VARCHAR(64) NOT NULL DEFAULT '',
    PRIMARY KEY (notice_id, user_id),
    KEY notice_deliveries_user (user_id, notice_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- What a conference was last told about one of its users (said), and when it must be looked at again (due_at).
-- change_no counts the changes of the user's presence; held_no is the last of them whose suppression is in the log.
CREATE TABLE notice_announcements (
    conference_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    user_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    said VARCHAR(16) NOT NULL DEFAULT '',
    due_at BIGINT NULL,
    change_no BIGINT NOT NULL DEFAULT 0,
    held_no BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (conference_id, user_id),
    KEY notice_announcements_due (due_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- Answers already given, by caller, method, path and key.
CREATE TABLE idempotency_keys (
    id CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    body_digest CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    status BIGINT NOT NULL DEFAULT 0,
    answer MEDIUMTEXT NULL,
    created_at BIGINT NOT NULL,
    KEY idempotency_keys_created (created_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

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
