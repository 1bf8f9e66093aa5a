CREATE TABLE topics (
    id uuid PRIMARY KEY,
    slug text NOT NULL CONSTRAINT topics_slug_taken UNIQUE CHECK (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
    name text NOT NULL,
    -- A retired topic is offered no more; what carries it keeps it.
    retired_at timestamptz
);

CREATE TABLE channels (
    id uuid PRIMARY KEY,
    loc uuid NOT NULL UNIQUE,
    owner_id uuid NOT NULL REFERENCES users,
    topic_id uuid REFERENCES topics,
    -- ICU orders names of every script as their readers expect.
    name text COLLATE "und-x-icu" NOT NULL,
    description text NOT NULL,
    image_url text,
    default_stream_name text NOT NULL,
    chat_enabled boolean NOT NULL,
    record boolean NOT NULL,
    protected boolean NOT NULL,
    -- The stream key: its keyed hash to look it up by, and a sealed copy that only the server's key opens.
    key_hash bytea UNIQUE,
    key_sealed bytea,
    -- After its stream was ended through the API, the channel refuses publishers until then.
    held_until timestamptz,
    -- Kept here as well as in streams, so that every order of the lists has an index.
    live boolean NOT NULL DEFAULT false,
    current_viewers integer NOT NULL DEFAULT 0 CHECK (current_viewers >= 0),
    views bigint NOT NULL DEFAULT 0 CHECK (views >= 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    -- A deleted channel is there for nobody, but events of the last days still speak of it; it is swept later.
    deleted_at timestamptz,
    search text NOT NULL GENERATED ALWAYS AS (search_fold(name || E'\n' || description)) STORED
);

CREATE INDEX channels_newest ON channels (id) WHERE deleted_at IS NULL;
CREATE INDEX channels_name ON channels (name, id) WHERE deleted_at IS NULL;
CREATE INDEX channels_viewed ON channels (views, id) WHERE deleted_at IS NULL;
CREATE INDEX channels_watched ON channels (current_viewers, id) WHERE deleted_at IS NULL;

CREATE INDEX channels_topic_newest ON channels (topic_id, id) WHERE deleted_at IS NULL;
CREATE INDEX channels_topic_name ON channels (topic_id, name, id) WHERE deleted_at IS NULL;
CREATE INDEX channels_topic_viewed ON channels (topic_id, views, id) WHERE deleted_at IS NULL;
CREATE INDEX channels_topic_watched ON channels (topic_id, current_viewers, id) WHERE deleted_at IS NULL;

CREATE INDEX channels_owner_newest ON channels (owner_id, id) WHERE deleted_at IS NULL;
CREATE INDEX channels_owner_name ON channels (owner_id, name, id) WHERE deleted_at IS NULL;
CREATE INDEX channels_owner_viewed ON channels (owner_id, views, id) WHERE deleted_at IS NULL;
CREATE INDEX channels_owner_watched ON channels (owner_id, current_viewers, id) WHERE deleted_at IS NULL;

-- Few channels are on the air at a time; the small indexes of those serve each order.
CREATE INDEX channels_live_newest ON channels (id) WHERE live AND deleted_at IS NULL;
CREATE INDEX channels_live_name ON channels (name, id) WHERE live AND deleted_at IS NULL;
CREATE INDEX channels_live_viewed ON channels (views, id) WHERE live AND deleted_at IS NULL;
CREATE INDEX channels_live_watched ON channels (current_viewers, id) WHERE live AND deleted_at IS NULL;
CREATE INDEX channels_idle_newest ON channels (id) WHERE NOT live AND deleted_at IS NULL;

CREATE INDEX channels_search ON channels USING gin (search_grams(search)) WHERE deleted_at IS NULL;
-- How frequent each run is: the planner does not take that from a partial index.
CREATE STATISTICS channels_search_runs ON (search_grams(search)) FROM channels;
CREATE INDEX channels_deleted ON channels (deleted_at) WHERE deleted_at IS NOT NULL;
