ALTER TABLE users DROP CONSTRAINT users_suspension, DROP COLUMN suspension_reason, DROP COLUMN suspended_at;
