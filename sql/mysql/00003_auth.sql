-- +goose Up

-- What the token of somebody who is not on the members list calls him: host, member or observer; blank if it says nothing.
ALTER TABLE presence ADD COLUMN token_role VARCHAR(16) NOT NULL DEFAULT '';

-- Logins at the console. id is the SHA-256 of the cookie, fingerprint tells which API key it was begun with, so that it ends
-- with the key. Times are milliseconds since 1970.
CREATE TABLE console_sessions (
    id CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    fingerprint CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    KEY console_sessions_expires (expires_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- +goose Down
DROP TABLE console_sessions;
ALTER TABLE presence DROP COLUMN token_role;
