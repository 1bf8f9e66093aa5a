CREATE TABLE streams (
    id uuid PRIMARY KEY,
    channel_id uuid NOT NULL REFERENCES channels ON DELETE CASCADE,
    -- The channel's address, which never changes: every URL of a stream is made of it.
    loc uuid NOT NULL,
    -- Whether its channel was protected when it began: its files lie accordingly until it ends.
    protected boolean NOT NULL,
    topic_id uuid REFERENCES topics,
    name text NOT NULL,
    state text NOT NULL CHECK (state IN ('live', 'interrupted', 'ended')),
    -- The publisher is known by its connection: nginx's clientid, and which nginx it is.
    node text NOT NULL,
    connection bigint NOT NULL,
    -- The nginx worker that was seen to carry it; a worker that is gone carries nothing.
    worker integer,
    -- Live: when its lease ends unless nginx speaks of it again. Interrupted: when the reconnect window closes.
    deadline timestamptz,
    -- The timestamp of its last picture or sound, in milliseconds, and how many reports found it unmoved.
    media_time bigint NOT NULL DEFAULT 0,
    stalls integer NOT NULL DEFAULT 0,
    -- What nginx says is being sent: codecs, size, rates.
    media jsonb,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    reason text CHECK (reason IN
        ('publisher_gone', 'ended_by_owner', 'ended_by_moderator', 'key_regenerated', 'channel_deleted')),
    current_viewers integer NOT NULL DEFAULT 0 CHECK (current_viewers >= 0),
    peak_viewers integer NOT NULL DEFAULT 0 CHECK (peak_viewers >= current_viewers),
    total_viewers bigint NOT NULL DEFAULT 0 CHECK (total_viewers >= peak_viewers),
    CHECK ((state = 'ended') = (ended_at IS NOT NULL)),
    CHECK ((state = 'ended') = (reason IS NOT NULL)),
    CHECK ((state = 'ended') = (deadline IS NULL)),
    CHECK (state <> 'ended' OR current_viewers = 0)
);

CREATE UNIQUE INDEX streams_one_on_the_air ON streams (channel_id) WHERE state <> 'ended';
CREATE INDEX streams_past ON streams (channel_id, id) WHERE state = 'ended';
CREATE INDEX streams_newest ON streams (id) WHERE state <> 'ended';
CREATE INDEX streams_watched ON streams (current_viewers, id) WHERE state <> 'ended';
CREATE INDEX streams_topic_newest ON streams (topic_id, id) WHERE state <> 'ended';
CREATE INDEX streams_topic_watched ON streams (topic_id, current_viewers, id) WHERE state <> 'ended';
-- Every callback of nginx asks by these two.
CREATE INDEX streams_publisher ON streams (node, connection) WHERE state <> 'ended';
CREATE INDEX streams_deadline ON streams (deadline) WHERE state <> 'ended';
