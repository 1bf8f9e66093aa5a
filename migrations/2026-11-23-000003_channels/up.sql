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

CREATE INDEX channels_deleted ON channels (deleted_at) WHERE deleted_at IS NOT NULL;

-- What a channel is found by, apart from its row: that is written each second while it is on the air, and each time
-- an index over it would have to take all of this in again.
CREATE TABLE channel_search (
    channel_id uuid PRIMARY KEY REFERENCES channels ON DELETE CASCADE,
    grams text[] NOT NULL
);
CREATE INDEX channel_search_grams ON channel_search USING gin (grams);

CREATE FUNCTION channel_search_keep() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
        BEGIN
            INSERT INTO channel_search VALUES (NEW.id, search_grams(NEW.search))
            ON CONFLICT (channel_id) DO UPDATE SET grams = EXCLUDED.grams;
            RETURN NULL;
        END
    $$;
CREATE TRIGGER channel_search_keep AFTER INSERT OR UPDATE OF name, description ON channels
    FOR EACH ROW EXECUTE FUNCTION channel_search_keep();
