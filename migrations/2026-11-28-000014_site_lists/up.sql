-- The recordings of the whole site, the newest first. Whether everybody may watch a channel stands with each of its
-- recordings as well, or the list would go through those of protected channels to find the others.
ALTER TABLE recordings ADD COLUMN open boolean NOT NULL DEFAULT false;
UPDATE recordings SET open = NOT channels.protected AND channels.deleted_at IS NULL
FROM channels WHERE channels.id = recordings.channel_id;
CREATE INDEX recordings_open ON recordings (stream_id) WHERE state = 'ready' AND published AND open;

CREATE FUNCTION recordings_open_begin() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
        BEGIN
            SELECT NOT protected AND deleted_at IS NULL INTO NEW.open FROM channels WHERE id = NEW.channel_id;
            RETURN NEW;
        END
    $$;
CREATE TRIGGER recordings_open_begin BEFORE INSERT ON recordings
    FOR EACH ROW EXECUTE FUNCTION recordings_open_begin();

CREATE FUNCTION recordings_open_keep() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
        BEGIN
            UPDATE recordings SET open = NOT NEW.protected AND NEW.deleted_at IS NULL WHERE channel_id = NEW.id;
            RETURN NULL;
        END
    $$;
CREATE TRIGGER recordings_open_keep AFTER UPDATE OF protected, deleted_at ON channels
    FOR EACH ROW
    WHEN (OLD.protected <> NEW.protected OR (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL))
    EXECUTE FUNCTION recordings_open_keep();

-- Users, the newest first: all of them, those of a role, those who are shut out, those with some words in handle or name.
CREATE INDEX users_of_role ON users (role, id);
CREATE INDEX users_suspended ON users (id) WHERE suspended_at IS NOT NULL;
CREATE INDEX users_search ON users USING gin (search_grams(search_fold(handle || E'\n' || display_name)));
