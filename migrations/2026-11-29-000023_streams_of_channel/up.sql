-- All streams of a channel, whatever state they are in: they go with their channel, are numbered, and each has one behind
-- it. The state is in it as well, so that those which have ended can be counted without a look at their rows.
CREATE INDEX CONCURRENTLY IF NOT EXISTS streams_of_channel ON streams (channel_id, id) INCLUDE (state);
