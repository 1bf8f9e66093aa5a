CREATE INDEX events_of_channel ON events (channel_id);
ALTER TABLE events ADD CONSTRAINT events_channel_id_fkey
    FOREIGN KEY (channel_id) REFERENCES channels ON DELETE CASCADE;
ALTER TABLE channels RESET (fillfactor);
CREATE INDEX channels_live_newest ON channels (id) WHERE live AND deleted_at IS NULL;
CREATE INDEX channels_live_name ON channels (name, id) WHERE live AND deleted_at IS NULL;
CREATE INDEX channels_live_viewed ON channels (views, id) WHERE live AND deleted_at IS NULL;
CREATE INDEX channels_live_watched ON channels (current_viewers, id) WHERE live AND deleted_at IS NULL;
CREATE INDEX channels_idle_newest ON channels (id) WHERE NOT live AND deleted_at IS NULL;
DROP TRIGGER channels_on_the_air_end ON channels;
DROP TRIGGER channels_on_the_air_keep ON channels;
DROP TRIGGER channels_on_the_air_begin ON channels;
DROP FUNCTION channels_on_the_air_end();
DROP FUNCTION channels_on_the_air_keep();
DROP TABLE channels_on_the_air;
