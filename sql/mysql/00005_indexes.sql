-- +goose Up

-- What was sent to all since somebody read all: who arrives is told of that alone, however long the log goes back.
ALTER TABLE notices ADD KEY notices_all_sent (to_all, require_ack, sent_at, category);

-- Whoever logs in ends the oldest logins of his key.
ALTER TABLE console_sessions ADD KEY console_sessions_fingerprint (fingerprint, created_at);

-- +goose Down
ALTER TABLE console_sessions DROP KEY console_sessions_fingerprint;
ALTER TABLE notices DROP KEY notices_all_sent;
