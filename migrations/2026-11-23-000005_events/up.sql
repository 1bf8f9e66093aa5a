-- One row. Whoever appends takes the next number under its lock and keeps it to the commit, so the order of
-- numbers is the order of commits, and there is no gap in them.
CREATE TABLE event_log (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    -- Tells this log from that of another database: a cursor of another log is refused.
    epoch uuid NOT NULL DEFAULT gen_random_uuid(),
    last bigint NOT NULL DEFAULT 0,
    -- Events up to this number are no longer kept.
    trimmed bigint NOT NULL DEFAULT 0
);
INSERT INTO event_log DEFAULT VALUES;

CREATE TABLE events (
    number bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    kind text NOT NULL CHECK (kind IN ('started', 'interrupted', 'resumed', 'updated', 'stopped')),
    stream_id uuid NOT NULL REFERENCES streams ON DELETE CASCADE,
    channel_id uuid NOT NULL REFERENCES channels ON DELETE CASCADE,
    -- The channel's address and topic as they were then: what subscriptions choose by.
    loc uuid NOT NULL,
    topic_id uuid,
    -- Whether the stream is protected, which it is from its start to its end: who counts viewers goes by it.
    protected boolean NOT NULL,
    reason text,
    CHECK ((kind = 'stopped') = (reason IS NOT NULL))
);
CREATE INDEX events_at ON events (at);
CREATE INDEX events_of_stream ON events (stream_id);
CREATE INDEX events_of_channel ON events (channel_id);
-- The log itself is the proof of promise 2: a stream has one start and one stop.
CREATE UNIQUE INDEX events_one_start ON events (stream_id) WHERE kind = 'started';
CREATE UNIQUE INDEX events_one_stop ON events (stream_id) WHERE kind = 'stopped';
