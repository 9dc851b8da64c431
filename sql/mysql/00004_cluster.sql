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

-- The names that sockets gave themselves by user_login, so that other nodes find them. socket_id is the connection's; rows of a
-- node and epoch that are no more mean nothing.
CREATE TABLE socket_aliases (
    socket_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    alias VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    user_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    node_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    epoch BIGINT NOT NULL,
    KEY socket_aliases_alias (alias),
    KEY socket_aliases_node (node_id, epoch)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- +goose Down
DROP TABLE socket_aliases;
DROP TABLE mailbox;
