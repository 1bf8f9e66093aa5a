-- Topics are all the same once they are there; the table goes with the migration that made it.
SELECT 1;
