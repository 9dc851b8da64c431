-- +goose Up

-- What was sent to all since somebody read all: who arrives is told of that alone, however long the log goes back.
CREATE INDEX notices_all_sent_idx ON notices (to_all, require_ack, sent_at, category);

-- Whoever logs in ends the oldest logins of his key.
CREATE INDEX console_sessions_fingerprint_idx ON console_sessions (fingerprint, created_at);

-- +goose Down
DROP INDEX console_sessions_fingerprint_idx;
DROP INDEX notices_all_sent_idx;
