-- A channel for every subscriber that is to have its own.
INSERT INTO users (id, handle, display_name, role, password_hash, created_at)
VALUES ('00000000-0000-0000-0000-000000000001', 'bench', 'Bench', 'streamer', '', now());

INSERT INTO channels (id, loc, owner_id, name, description, default_stream_name, chat_enabled, record, protected,
    created_at, updated_at)
SELECT loc, loc, '00000000-0000-0000-0000-000000000001', 'Bench ' || n, '', '', false, false, false, now(), now()
FROM generate_series(0, 19999) AS n, LATERAL (
    SELECT ('018f3c1e-7d4a-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid AS loc
) AS address;
