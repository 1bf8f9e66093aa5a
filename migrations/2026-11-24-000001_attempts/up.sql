-- What was done under an idempotency key, written in the transaction that did it. Of what was asked for only a hash
-- is kept: enough to tell a retry from another request under the same key.
CREATE TABLE attempts (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    mutation text NOT NULL CHECK (mutation IN ('create_channel', 'regenerate_stream_key')),
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 100),
    input_hash bytea NOT NULL,
    -- The channel that was made or changed; it may have been deleted since.
    channel_id uuid NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (user_id, mutation, key)
);
CREATE INDEX attempts_at ON attempts (at);
