DROP INDEX streams_ended;
