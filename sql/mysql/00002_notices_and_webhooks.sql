-- +goose Up

-- What a notice is beyond its row in the log. to_all: its audience is everybody, and it has a row of notice_deliveries
-- only for users who did something with it. scope and client_types limit the sockets that get it; client_types is
-- blank or ",app,pc,". except_users is a JSON list. envelope is the notice without data, of one sent under another name or raw.
-- sent_at is 0 while it is scheduled. Times are milliseconds since 1970.
ALTER TABLE notices
    ADD COLUMN to_all TINYINT(1) NOT NULL DEFAULT 0,
    ADD COLUMN scope VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    ADD COLUMN client_types VARCHAR(2048) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    ADD COLUMN except_users MEDIUMTEXT NULL,
    ADD COLUMN envelope MEDIUMTEXT NULL,
    ADD COLUMN stored TINYINT(1) NOT NULL DEFAULT 0,
    ADD COLUMN require_ack TINYINT(1) NOT NULL DEFAULT 0,
    ADD COLUMN sent_at BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN expires_at BIGINT NULL,
    ADD KEY notices_all (to_all, id, sent_at, category),
    ADD KEY notices_chat (conference_id, event, id);

-- inbox: 0 not in the user's inbox, 1 there and unread, 2 there and read.
ALTER TABLE notice_deliveries
    ADD COLUMN inbox TINYINT NOT NULL DEFAULT 0,
    ADD COLUMN acked_at BIGINT NULL,
    ADD COLUMN read_at BIGINT NULL,
    ADD KEY notice_deliveries_inbox (user_id, inbox, notice_id);

-- When the service first heard of a user; what expired before is not for him.
CREATE TABLE notice_readers (
    user_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
    known_at BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- Low-water marks: of the notices to all in a category ('' is every category), a user has read those that were sent at
-- or before read_upto.
CREATE TABLE notice_marks (
    user_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    category VARCHAR(32) NOT NULL,
    read_upto BIGINT NOT NULL,
    PRIMARY KEY (user_id, category)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- What goes to a user who is reconnecting and is not stored: kept until the end of his grace.
CREATE TABLE notice_held (
    id CHAR(26) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    user_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    notice_id VARCHAR(26) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
    scope VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    client_types VARCHAR(2048) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    event VARCHAR(64) NOT NULL,
    args MEDIUMTEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, id),
    KEY notice_held_expires (expires_at),
    KEY notice_held_notice (notice_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- What is to be done with a notice at a time: kind is send, expire or unreached. Gone when it was done.
CREATE TABLE notice_due (
    notice_id CHAR(26) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    kind VARCHAR(16) NOT NULL,
    due_at BIGINT NOT NULL,
    PRIMARY KEY (notice_id, kind),
    KEY notice_due_at (due_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- Messages that a client numbered, so that sending one again does not make two of it.
CREATE TABLE notice_client_messages (
    sender_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    client_msg_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    notice_id CHAR(26) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (sender_id, client_msg_id),
    KEY notice_client_messages_created (created_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- A running timer, and when it ends. The section timer of the tree says the rest.
CREATE TABLE conference_timers (
    conference_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
    ends_at BIGINT NOT NULL,
    KEY conference_timers_ends (ends_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- Who shares the screen, by which socket ('' over REST or by a backend's own write), and when somebody must look whether he is still there.
CREATE TABLE conference_shares (
    conference_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
    user_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    session_id VARCHAR(32) NOT NULL DEFAULT '',
    client_type VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    due_at BIGINT NULL,
    KEY conference_shares_due (due_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- Who may not come in for a while, to one conference or ('') to any.
CREATE TABLE presence_bars (
    user_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    conference_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    until_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, conference_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- One row per endpoint and conference: the last number given out, and when its next event is to be sent. endpoint is
-- a digest of the URL. A node that works on a lane moves due_at into the future first, so that no other does.
CREATE TABLE webhook_lanes (
    endpoint CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    conference_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    seq BIGINT NOT NULL DEFAULT 0,
    due_at BIGINT NULL,
    PRIMARY KEY (endpoint, conference_id),
    KEY webhook_lanes_due (due_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- What the meeting backend is to be told: state is pending, sent or dead.
CREATE TABLE webhook_outbox (
    id CHAR(26) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    endpoint CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    url VARCHAR(2048) NOT NULL,
    conference_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    seq BIGINT NOT NULL,
    type VARCHAR(32) NOT NULL,
    body MEDIUMTEXT NOT NULL,
    state VARCHAR(16) NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    first_at BIGINT NULL,
    last_at BIGINT NULL,
    last_status BIGINT NOT NULL DEFAULT 0,
    last_error VARCHAR(255) NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL,
    KEY webhook_outbox_lane (endpoint, conference_id, state, seq),
    KEY webhook_outbox_state (state, id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- The line of one user: his sessions everywhere in the order of time, and those of a conference.
ALTER TABLE presence_sessions
    ADD KEY presence_sessions_history (conference_id, opened_at);

-- +goose Down
ALTER TABLE presence_sessions DROP KEY presence_sessions_history;
DROP TABLE webhook_outbox;
DROP TABLE webhook_lanes;
DROP TABLE presence_bars;
DROP TABLE conference_shares;
DROP TABLE conference_timers;
DROP TABLE notice_client_messages;
DROP TABLE notice_due;
DROP TABLE notice_held;
DROP TABLE notice_marks;
DROP TABLE notice_readers;
ALTER TABLE notice_deliveries
    DROP KEY notice_deliveries_inbox,
    DROP COLUMN inbox, DROP COLUMN acked_at, DROP COLUMN read_at;
ALTER TABLE notices
    DROP KEY notices_chat, DROP KEY notices_all,
    DROP COLUMN to_all, DROP COLUMN scope, DROP COLUMN client_types, DROP COLUMN except_users, DROP COLUMN envelope,
    DROP COLUMN stored, DROP COLUMN require_ack, DROP COLUMN sent_at, DROP COLUMN expires_at;
