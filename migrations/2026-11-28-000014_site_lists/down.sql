DROP INDEX users_search, users_suspended, users_of_role;
DROP TRIGGER recordings_open_keep ON channels;
DROP FUNCTION recordings_open_keep;
DROP TRIGGER recordings_open_begin ON recordings;
DROP FUNCTION recordings_open_begin;
ALTER TABLE recordings DROP COLUMN open;
