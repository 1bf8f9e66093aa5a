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

CREATE FUNCTION channels_on_the_air_keep() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
        BEGIN
            IF TG_OP = 'DELETE' OR NOT NEW.live THEN
                DELETE FROM channels_on_the_air WHERE channel_id = OLD.id;
            ELSE
                INSERT INTO channels_on_the_air VALUES (NEW.id, NEW.name, NEW.views, NEW.current_viewers)
                ON CONFLICT (channel_id) DO UPDATE
                SET name = EXCLUDED.name, views = EXCLUDED.views, current_viewers = EXCLUDED.current_viewers;
            END IF;
            RETURN NULL;
        END
    $$;
CREATE TRIGGER channels_on_the_air_begin AFTER INSERT ON channels
    FOR EACH ROW WHEN (NEW.live) EXECUTE FUNCTION channels_on_the_air_keep();
CREATE TRIGGER channels_on_the_air_keep AFTER UPDATE OF live, name, views, current_viewers ON channels
    FOR EACH ROW WHEN (OLD.live OR NEW.live) EXECUTE FUNCTION channels_on_the_air_keep();
CREATE TRIGGER channels_on_the_air_end AFTER DELETE ON channels
    FOR EACH ROW WHEN (OLD.live) EXECUTE FUNCTION channels_on_the_air_keep();

DROP INDEX channels_live_newest, channels_live_name, channels_live_viewed, channels_live_watched, channels_idle_newest;
-- Room for the row as it will be, beside the row as it is.
ALTER TABLE channels SET (fillfactor = 80);
