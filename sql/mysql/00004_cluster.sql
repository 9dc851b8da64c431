-- +goose Up

-- Letters between nodes: what concerns sockets of others. Every node reads them in the order of their ids, each once. from_node
-- is the node that need not read it, '' when it is for all; to_node is the only one that has to, '' when all have to.
CREATE TABLE mailbox (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    from_node VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    to_node VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    kind VARCHAR(16) NOT NULL,
    body MEDIUMTEXT NOT NULL,
    created_at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    KEY mailbox_created (created_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- The names (tokenId) that sockets gave themselves by user_login, so that other nodes find them. One of a session that is closed
-- means nothing.
CREATE TABLE session_aliases (
    session_id CHAR(26) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    alias VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    KEY session_aliases_alias (alias)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- +goose Down
DROP TABLE session_aliases;
DROP TABLE mailbox;
