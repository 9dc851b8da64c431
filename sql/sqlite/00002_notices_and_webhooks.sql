-- +goose Up

-- What a notice is beyond its row in the log. to_all: its audience is everybody, and it has a row of notice_deliveries
-- only for users who did something with it. scope and client_types limit the sockets that get it; client_types is
-- blank or ",app,pc,". except_users is a JSON list. envelope is the notice without data, of one sent under another name or raw.
-- sent_at is 0 while it is scheduled. Times are milliseconds since 1970.
ALTER TABLE notices ADD COLUMN to_all INTEGER NOT NULL DEFAULT 0;
ALTER TABLE notices ADD COLUMN scope TEXT NOT NULL DEFAULT '';
ALTER TABLE notices ADD COLUMN client_types TEXT NOT NULL DEFAULT '';
ALTER TABLE notices ADD COLUMN except_users TEXT NULL;
ALTER TABLE notices ADD COLUMN envelope TEXT NULL;
ALTER TABLE notices ADD COLUMN stored INTEGER NOT NULL DEFAULT 0;
ALTER TABLE notices ADD COLUMN require_ack INTEGER NOT NULL DEFAULT 0;
ALTER TABLE notices ADD COLUMN sent_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE notices ADD COLUMN expires_at INTEGER NULL;
CREATE INDEX notices_all_idx ON notices (to_all, id, sent_at, category);
CREATE INDEX notices_chat_idx ON notices (conference_id, event, id);

-- inbox: 0 not in the user's inbox, 1 there and unread, 2 there and read.
ALTER TABLE notice_deliveries ADD COLUMN inbox INTEGER NOT NULL DEFAULT 0;
ALTER TABLE notice_deliveries ADD COLUMN acked_at INTEGER NULL;
ALTER TABLE notice_deliveries ADD COLUMN read_at INTEGER NULL;
CREATE INDEX notice_deliveries_inbox_idx ON notice_deliveries (user_id, inbox, notice_id);

-- When the service first heard of a user; what expired before is not for him.
CREATE TABLE notice_readers (
    user_id TEXT NOT NULL PRIMARY KEY,
    known_at INTEGER NOT NULL
);

-- Low-water marks: of the notices to all in a category ('' is every category), a user has read those that were sent at
-- or before read_upto.
CREATE TABLE notice_marks (
    user_id TEXT NOT NULL,
    category TEXT NOT NULL,
    read_upto INTEGER NOT NULL,
    PRIMARY KEY (user_id, category)
);

-- What goes to a user who is reconnecting and is not stored: kept until the end of his grace.
CREATE TABLE notice_held (
    id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    notice_id TEXT NOT NULL DEFAULT '',
    scope TEXT NOT NULL DEFAULT '',
    client_types TEXT NOT NULL DEFAULT '',
    event TEXT NOT NULL,
    args TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, id)
);
CREATE INDEX notice_held_expires_idx ON notice_held (expires_at);
CREATE INDEX notice_held_notice_idx ON notice_held (notice_id);

-- What is to be done with a notice at a time: kind is send, expire or unreached. Gone when it was done.
CREATE TABLE notice_due (
    notice_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    PRIMARY KEY (notice_id, kind)
);
CREATE INDEX notice_due_at_idx ON notice_due (due_at);

-- Messages that a client numbered, so that sending one again does not make two of it.
CREATE TABLE notice_client_messages (
    sender_id TEXT NOT NULL,
    client_msg_id TEXT NOT NULL,
    notice_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (sender_id, client_msg_id)
);
CREATE INDEX notice_client_messages_created_idx ON notice_client_messages (created_at);

-- A running timer, and when it ends. The section timer of the tree says the rest.
CREATE TABLE conference_timers (
    conference_id TEXT NOT NULL PRIMARY KEY,
    ends_at INTEGER NOT NULL
);
CREATE INDEX conference_timers_ends_idx ON conference_timers (ends_at);

-- Who shares the screen, by which socket ('' over REST or by a backend's own write), and when somebody must look whether he is still there.
CREATE TABLE conference_shares (
    conference_id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    session_id TEXT NOT NULL DEFAULT '',
    client_type TEXT NOT NULL DEFAULT '',
    due_at INTEGER NULL
);
CREATE INDEX conference_shares_due_idx ON conference_shares (due_at);

-- Who may not come in for a while, to one conference or ('') to any.
CREATE TABLE presence_bars (
    user_id TEXT NOT NULL,
    conference_id TEXT NOT NULL DEFAULT '',
    until_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, conference_id)
);

-- One row per endpoint and conference: the last number given out, and when its next event is to be sent. endpoint is
-- a digest of the URL. A node that works on a lane moves due_at into the future first, so that no other does.
CREATE TABLE webhook_lanes (
    endpoint TEXT NOT NULL,
    conference_id TEXT NOT NULL,
    seq INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NULL,
    PRIMARY KEY (endpoint, conference_id)
);
CREATE INDEX webhook_lanes_due_idx ON webhook_lanes (due_at);

-- What the meeting backend is to be told: state is pending, sent or dead.
CREATE TABLE webhook_outbox (
    id TEXT NOT NULL PRIMARY KEY,
    endpoint TEXT NOT NULL,
    url TEXT NOT NULL,
    conference_id TEXT NOT NULL DEFAULT '',
    seq INTEGER NOT NULL,
    type TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    first_at INTEGER NULL,
    last_at INTEGER NULL,
    last_status INTEGER NOT NULL DEFAULT 0,
    last_error TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL
);
CREATE INDEX webhook_outbox_lane_idx ON webhook_outbox (endpoint, conference_id, state, seq);
CREATE INDEX webhook_outbox_state_idx ON webhook_outbox (state, id);

-- The line of one user: his sessions everywhere in the order of time, and those of a conference.
CREATE INDEX presence_sessions_history_idx ON presence_sessions (conference_id, opened_at);

-- +goose Down
DROP INDEX presence_sessions_history_idx;
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
DROP INDEX notice_deliveries_inbox_idx;
ALTER TABLE notice_deliveries DROP COLUMN inbox;
ALTER TABLE notice_deliveries DROP COLUMN acked_at;
ALTER TABLE notice_deliveries DROP COLUMN read_at;
DROP INDEX notices_chat_idx;
DROP INDEX notices_all_idx;
ALTER TABLE notices DROP COLUMN to_all;
ALTER TABLE notices DROP COLUMN scope;
ALTER TABLE notices DROP COLUMN client_types;
ALTER TABLE notices DROP COLUMN except_users;
ALTER TABLE notices DROP COLUMN envelope;
ALTER TABLE notices DROP COLUMN stored;
ALTER TABLE notices DROP COLUMN require_ack;
ALTER TABLE notices DROP COLUMN sent_at;
ALTER TABLE notices DROP COLUMN expires_at;
