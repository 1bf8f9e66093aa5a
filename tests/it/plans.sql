-- A site of :channels channels of a thousand owners, 2,000 of them on the air, and half as many ended streams.
INSERT INTO users (id, handle, display_name, role, password_hash, created_at)
SELECT md5('user' || n)::uuid, 'owner_' || n, 'Owner', 'streamer', '-', now() FROM generate_series(1, 1000) AS n;

INSERT INTO users (id, handle, display_name, role, password_hash, created_at, suspended_at, suspension_reason)
SELECT
    md5('viewer' || n)::uuid, 'viewer_' || n, CASE WHEN n % 2000 = 7 THEN '龘 zyzzyva' ELSE 'Somebody' END,
    CASE WHEN n % 1000 = 0 THEN 'moderator' ELSE 'viewer' END, '-', now(),
    CASE WHEN n % 500 = 3 THEN now() END, CASE WHEN n % 500 = 3 THEN 'Spam' END
FROM generate_series(1, :channels / 2) AS n;

INSERT INTO topics (id, slug, name)
SELECT md5('topic' || n)::uuid, 'topic-' || n, 'Topic ' || n FROM generate_series(1, 10) AS n;

-- What is searched is filled at once at the end, as a restore does it: row by row it would take most of the time.
DROP INDEX channel_search_grams;
ALTER TABLE channels DISABLE TRIGGER channel_search_keep;

INSERT INTO channels (id, loc, owner_id, topic_id, name, description, default_stream_name, chat_enabled, record,
    protected, live, current_viewers, views, created_at, updated_at, deleted_at)
SELECT
    (lpad(to_hex(n), 12, '0') || md5('channel' || n)::text)::varchar(32)::uuid,
    md5('loc' || n)::uuid,
    md5('user' || (n * 7919::bigint % 1000 + 1))::uuid,
    CASE WHEN n % 11 > 0 THEN md5('topic' || (n % 11))::uuid END,
    CASE n % 3
        WHEN 0 THEN 'Stream of ' || substr(md5('name' || n), 1, 8)
        WHEN 1 THEN substr('围棋直播间音乐游戏学习编程美食旅行', n % 14 + 1, 3) || ' ' || n
        ELSE 'Live 🎥 show ' || n % 1000
    END,
    CASE WHEN n % 100 = 0 THEN 'medium ' ELSE '' END
        || CASE WHEN n % :channels < 10 THEN 'zyzzyva 龘' ELSE 'every day at ' || n % 24 END,
    '-', true, false, false,
    n % (:channels / 2000) = 0, CASE WHEN n % (:channels / 2000) = 0 THEN n % 50 ELSE 0 END, n % 5000, now(), now(),
    CASE WHEN n % 50 = 1 THEN now() END
FROM generate_series(1, :channels) AS n;

INSERT INTO channel_search SELECT id, search_grams(search) FROM channels;
ALTER TABLE channels ENABLE TRIGGER channel_search_keep;
CREATE INDEX channel_search_grams ON channel_search USING gin (grams);

INSERT INTO streams (id, channel_id, loc, protected, topic_id, name, state, node, connection, deadline, started_at,
    current_viewers, peak_viewers, total_viewers)
SELECT md5('live' || id)::uuid, id, loc, false, topic_id, '-', 'live', 'local', row_number() OVER (ORDER BY id),
    now(), now(), current_viewers, current_viewers, current_viewers
FROM channels WHERE live;

INSERT INTO streams (id, channel_id, loc, protected, topic_id, name, state, node, connection, started_at, ended_at, reason)
SELECT md5('past' || n)::uuid, channels.id, loc, false, topic_id, '-', 'ended', 'local', n, now(), now(), 'publisher_gone'
FROM generate_series(1, :channels / 2) AS n
JOIN channels ON channels.loc = md5('loc' || (n % 1000 + 1))::uuid;

-- Each of them recorded; a third of the channels are protected, and what stands on top of their recordings is passed over.
UPDATE channels SET protected = true WHERE id IN (SELECT channel_id FROM streams WHERE state = 'ended')
    AND loc::text < '55555555';
INSERT INTO recordings (stream_id, channel_id, state, duration_ms, published)
SELECT id, channel_id, 'ready', 1000, connection % 5 > 0 FROM streams WHERE state = 'ended';

INSERT INTO audit_records (id, at, kind, actor_id, subject_id)
SELECT
    (lpad(to_hex(n), 12, '0') || md5('record' || n)::text)::varchar(32)::uuid,
    now(),
    CASE WHEN n % 2000 = 0 THEN 'suspended' ELSE
        (ARRAY['signed_in', 'signed_in', 'signed_in', 'signed_out', 'key_read', 'sign_in_failed', 'role_changed'])[n % 7 + 1]
    END,
    CASE WHEN n % 7 <> 5 THEN md5('user' || (n * 7919::bigint % 1000 + 1))::uuid END,
    md5('user' || (n * 7907::bigint % 1000 + 1))::uuid
FROM generate_series(1, :channels) AS n;

VACUUM ANALYZE users;
VACUUM ANALYZE audit_records;
VACUUM ANALYZE topics;
VACUUM ANALYZE channels;
VACUUM ANALYZE channel_search;
VACUUM ANALYZE streams;
VACUUM ANALYZE recordings;
VACUUM ANALYZE channels_on_the_air;
