ALTER TABLE channels SET (fillfactor = 80);
