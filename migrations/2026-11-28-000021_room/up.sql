-- Channels that were made one after the other lie side by side and often go on the air together. With room on its page
-- for each row to be written anew, that touches no index: of 200 at once in a twentieth of the time.
ALTER TABLE channels SET (fillfactor = 45);
