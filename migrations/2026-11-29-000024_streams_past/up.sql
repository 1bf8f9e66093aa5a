-- The index of all streams of a channel serves what this one of the ended ones did.
DROP INDEX CONCURRENTLY IF EXISTS streams_past;
