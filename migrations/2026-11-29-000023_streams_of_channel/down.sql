DROP INDEX streams_of_channel;
