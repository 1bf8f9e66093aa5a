-- A recorded broadcast, one for each stream that began while its channel was to be recorded.
CREATE TABLE recordings (
    stream_id uuid PRIMARY KEY REFERENCES streams ON DELETE CASCADE,
    channel_id uuid NOT NULL REFERENCES channels ON DELETE CASCADE,
    -- Null: it is called as its stream is.
    name text,
    state text NOT NULL CHECK (state IN ('recording', 'processing', 'ready', 'failed')),
    -- Why it failed, in words.
    failure text,
    published boolean NOT NULL DEFAULT true,
    duration_ms bigint,
    -- What its files take on the disk.
    bytes bigint NOT NULL DEFAULT 0 CHECK (bytes >= 0),
    -- Null when there is no picture.
    width integer,
    height integer,
    views bigint NOT NULL DEFAULT 0 CHECK (views >= 0),
    CHECK ((state = 'failed') = (failure IS NOT NULL)),
    CHECK (state <> 'ready' OR duration_ms IS NOT NULL)
);
-- Ids of streams are made from the time: each list has the newest first.
CREATE INDEX recordings_newest ON recordings (channel_id, stream_id);
CREATE INDEX recordings_public ON recordings (channel_id, stream_id) WHERE state = 'ready' AND published;
CREATE INDEX recordings_in_work ON recordings (stream_id) WHERE state IN ('recording', 'processing');
