-- Two hundred streams on the air, on as many channels of fifty owners, in twelve topics.
INSERT INTO users (id, handle, display_name, role, password_hash, created_at)
SELECT ('018f3c1e-7d4a-7000-8001-' || lpad(to_hex(n), 12, '0'))::uuid, 'owner_' || n, 'Owner ' || n, 'streamer', '',
    '2026-11-20T10:00:00Z'
FROM generate_series(0, 49) AS n;

INSERT INTO channels (id, loc, owner_id, topic_id, name, description, default_stream_name, chat_enabled, record,
    protected, live, created_at, updated_at)
SELECT ('018f3c1e-7d4a-7000-8002-' || lpad(to_hex(n), 12, '0'))::uuid,
    ('018f3c1e-7d4a-7000-8003-' || lpad(to_hex(n), 12, '0'))::uuid,
    ('018f3c1e-7d4a-7000-8001-' || lpad(to_hex(n % 50), 12, '0'))::uuid,
    (SELECT id FROM topics ORDER BY slug OFFSET n % 12 LIMIT 1),
    'Channel ' || n, 'What channel ' || n || ' is about.', 'Live', true, false, false, true, '2026-11-20T10:00:00Z',
    '2026-11-20T10:00:00Z'
FROM generate_series(0, 199) AS n;

-- No nginx speaks of them: they wait for their publishers, for as long as Tally is told to have them wait.
INSERT INTO streams (id, channel_id, loc, protected, topic_id, name, state, node, connection, deadline, started_at)
SELECT ('018f3c1e-7d4a-7000-8004-' || right(channel.id::text, 12))::uuid, channel.id, channel.loc, false,
    channel.topic_id, 'A broadcast on ' || channel.name, 'interrupted', 'bench', row_number() OVER (), '2100-01-01T00:00:00Z',
    '2026-11-20T10:00:00Z'
FROM channels AS channel;

VACUUM ANALYZE;
