ALTER TABLE channels DROP CONSTRAINT channels_password, DROP COLUMN password_id, DROP COLUMN password_hash;
DROP TABLE invitations;
