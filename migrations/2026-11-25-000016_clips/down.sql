DROP TABLE clips;
ALTER TABLE channels DROP COLUMN clips_enabled;
