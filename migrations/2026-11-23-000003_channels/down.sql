DROP TABLE channel_search;
DROP TABLE channels;
DROP FUNCTION channel_search_keep;
DROP TABLE topics;
