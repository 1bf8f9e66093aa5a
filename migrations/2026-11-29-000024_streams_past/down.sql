CREATE INDEX CONCURRENTLY streams_past ON streams (channel_id, id) WHERE state = 'ended';
