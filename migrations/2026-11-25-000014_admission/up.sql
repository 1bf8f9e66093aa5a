-- Who may watch a protected channel besides its owner: whom the owner has invited, and who has the channel's password.
CREATE TABLE invitations (
    -- Made from the time, so the order of ids is the order in which they were made.
    id uuid PRIMARY KEY,
    channel_id uuid NOT NULL REFERENCES channels ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    CONSTRAINT invitations_once UNIQUE (channel_id, user_id)
);
CREATE INDEX invitations_newest ON invitations (channel_id, id);
CREATE INDEX invitations_of_user ON invitations (user_id);

ALTER TABLE channels
    ADD COLUMN password_hash text,
    -- Another one with each password: what was opened with an earlier password is told apart by it.
    ADD COLUMN password_id uuid,
    ADD CONSTRAINT channels_password CHECK ((password_hash IS NULL) = (password_id IS NULL));
