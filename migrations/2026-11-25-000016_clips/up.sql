-- Whether viewers may cut clips out of what is on the air.
ALTER TABLE channels ADD COLUMN clips_enabled boolean NOT NULL DEFAULT true;

-- The last seconds of a broadcast, as a viewer cut them out.
CREATE TABLE clips (
    -- Made from the time, so the order of ids is the order in which they were made.
    id uuid PRIMARY KEY,
    stream_id uuid NOT NULL REFERENCES streams ON DELETE CASCADE,
    channel_id uuid NOT NULL REFERENCES channels ON DELETE CASCADE,
    creator_id uuid NOT NULL REFERENCES users,
    title text NOT NULL,
    duration_ms bigint NOT NULL,
    bytes bigint NOT NULL CHECK (bytes >= 0),
    width integer,
    height integer
);
CREATE INDEX clips_newest ON clips (channel_id, id);
CREATE INDEX clips_of_stream ON clips (stream_id);
