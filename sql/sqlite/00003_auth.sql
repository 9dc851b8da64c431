-- +goose Up

-- What the token of somebody who is not on the members list calls him: host, member or observer; blank if it says nothing.
ALTER TABLE presence ADD COLUMN token_role TEXT NOT NULL DEFAULT '';

-- Logins at the console. id is the SHA-256 of the cookie, fingerprint tells which API key it was begun with, so that it ends
-- with the key. Times are milliseconds since 1970.
CREATE TABLE console_sessions (
    id TEXT NOT NULL PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
);
CREATE INDEX console_sessions_expires_idx ON console_sessions (expires_at);

-- +goose Down
DROP TABLE console_sessions;
ALTER TABLE presence DROP COLUMN token_role;
