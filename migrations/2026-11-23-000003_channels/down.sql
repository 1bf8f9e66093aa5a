DROP TABLE channels;
DROP TABLE topics;
