DROP TRIGGER recordings_discard ON recordings;
DROP FUNCTION recordings_discard;
DROP TABLE discarded_recordings;
ALTER TABLE recordings DROP COLUMN place;
