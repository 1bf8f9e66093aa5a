-- Where else a channel's broadcasts go.
CREATE TABLE simulcast_targets (
    -- Made from the time, so the order of ids is the order in which they were added.
    id uuid PRIMARY KEY,
    channel_id uuid NOT NULL REFERENCES channels ON DELETE CASCADE,
    url text NOT NULL,
    -- Readable only with the server's key.
    key_sealed bytea NOT NULL,
    enabled boolean NOT NULL
);
CREATE INDEX simulcast_targets_of_channel ON simulcast_targets (channel_id, id);
