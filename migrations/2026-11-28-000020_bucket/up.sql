-- Where the files of a recording lie: on the disk, in the bucket, or on their way from one to the other.
ALTER TABLE recordings ADD COLUMN place text NOT NULL DEFAULT 'disk'
    CHECK (place IN ('disk', 'moving', 'bucket'));

-- What may still have files in the bucket although its row is gone, however it went.
CREATE TABLE discarded_recordings (stream_id uuid PRIMARY KEY);

CREATE FUNCTION recordings_discard() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
        BEGIN
            INSERT INTO discarded_recordings VALUES (OLD.stream_id) ON CONFLICT DO NOTHING;
            RETURN NULL;
        END
    $$;
CREATE TRIGGER recordings_discard AFTER DELETE ON recordings
    FOR EACH ROW WHEN (OLD.place <> 'disk') EXECUTE FUNCTION recordings_discard();
