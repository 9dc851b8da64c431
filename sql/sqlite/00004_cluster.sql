-- +goose Up

-- Letters between nodes. An SQLite file has one node, so nobody writes any; the table is here so that both dialects are alike.
CREATE TABLE mailbox (
    id BIGINT NOT NULL PRIMARY KEY,
    from_node TEXT NOT NULL DEFAULT '',
    to_node TEXT NOT NULL DEFAULT '',
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);
CREATE INDEX mailbox_created_idx ON mailbox (created_at);

-- The names (tokenId) that sockets gave themselves by user_login. One node finds its own in memory; see mailbox.
CREATE TABLE session_aliases (
    session_id TEXT NOT NULL PRIMARY KEY,
    alias TEXT NOT NULL
);
CREATE INDEX session_aliases_alias_idx ON session_aliases (alias);

-- +goose Down
DROP TABLE session_aliases;
DROP TABLE mailbox;
