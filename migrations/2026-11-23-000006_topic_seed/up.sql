-- What a new site is browsed by; an admin adds to it, renames and retires.
INSERT INTO topics (id, slug, name) VALUES
    (gen_random_uuid(), 'just-chatting', 'Just Chatting'),
    (gen_random_uuid(), 'games', 'Games'),
    (gen_random_uuid(), 'music', 'Music'),
    (gen_random_uuid(), 'art', 'Art'),
    (gen_random_uuid(), 'software', 'Software Development'),
    (gen_random_uuid(), 'science', 'Science'),
    (gen_random_uuid(), 'education', 'Education'),
    (gen_random_uuid(), 'sports', 'Sports'),
    (gen_random_uuid(), 'food', 'Food and Cooking'),
    (gen_random_uuid(), 'travel', 'Travel and Outdoors'),
    (gen_random_uuid(), 'news', 'News and Politics'),
    (gen_random_uuid(), 'talks', 'Talks and Events')
ON CONFLICT DO NOTHING;
