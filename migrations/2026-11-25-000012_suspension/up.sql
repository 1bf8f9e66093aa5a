-- A suspended user is nobody here until an admin takes it back.
ALTER TABLE users
    ADD COLUMN suspended_at timestamptz,
    ADD COLUMN suspension_reason text,
    ADD CONSTRAINT users_suspension CHECK ((suspended_at IS NULL) = (suspension_reason IS NULL));
