-- The audience of the whole site over the last hour asks for the streams that ended in it.
CREATE INDEX CONCURRENTLY IF NOT EXISTS streams_ended ON streams (ended_at) WHERE state = 'ended';
