CREATE TABLE users (
    id uuid PRIMARY KEY,
    handle text NOT NULL CONSTRAINT users_handle_taken UNIQUE CHECK (handle ~ '^[a-z0-9_]{3,30}$'),
    display_name text NOT NULL,
    role text NOT NULL CHECK (role IN ('viewer', 'streamer', 'moderator', 'admin')),
    password_hash text NOT NULL,
    created_at timestamptz NOT NULL
);

-- A bearer token is stored as its hash: a dump of this table opens no session.
CREATE TABLE sessions (
    token_hash bytea PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_of_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);
