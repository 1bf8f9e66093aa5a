-- The channels on the air, in every order that a list of them has. Apart from their rows: channels go on the air by
-- the hundred when nginx comes back, and an index that tells by it would have every other index of that large table
-- take each of the rows in again. Like this PostgreSQL writes the row in its place.
CREATE TABLE channels_on_the_air (
    channel_id uuid PRIMARY KEY,
    name text COLLATE "und-x-icu" NOT NULL,
    views bigint NOT NULL,
    current_viewers integer NOT NULL
);
CREATE INDEX channels_on_the_air_name ON channels_on_the_air (name, channel_id);
CREATE INDEX channels_on_the_air_viewed ON channels_on_the_air (views, channel_id);
CREATE INDEX channels_on_the_air_watched ON channels_on_the_air (current_viewers, channel_id);

INSERT INTO channels_on_the_air SELECT id, name, views, current_viewers FROM channels WHERE live;

-- All rows of a statement at a time, since they come by the hundred.
CREATE FUNCTION channels_on_the_air_keep() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
        BEGIN
            DELETE FROM channels_on_the_air USING changed WHERE channel_id = changed.id AND NOT changed.live;
            INSERT INTO channels_on_the_air SELECT id, name, views, current_viewers FROM changed WHERE live
            ON CONFLICT (channel_id) DO UPDATE
            SET name = EXCLUDED.name, views = EXCLUDED.views, current_viewers = EXCLUDED.current_viewers;
            RETURN NULL;
        END
    $$;
CREATE TRIGGER channels_on_the_air_begin AFTER INSERT ON channels
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION channels_on_the_air_keep();
CREATE TRIGGER channels_on_the_air_keep AFTER UPDATE ON channels
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION channels_on_the_air_keep();

CREATE FUNCTION channels_on_the_air_end() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
        BEGIN
            DELETE FROM channels_on_the_air USING gone WHERE channel_id = gone.id;
            RETURN NULL;
        END
    $$;
CREATE TRIGGER channels_on_the_air_end AFTER DELETE ON channels
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION channels_on_the_air_end();

DROP INDEX channels_live_newest, channels_live_name, channels_live_viewed, channels_live_watched, channels_idle_newest;
-- Room for the row as it will be, beside the row as it is.
ALTER TABLE channels SET (fillfactor = 80);

-- A stream's channel is its events' channel: they go with the stream.
ALTER TABLE events DROP CONSTRAINT events_channel_id_fkey;
DROP INDEX events_of_channel;
