DROP TABLE stream_audiences;
DROP FUNCTION stream_audiences_thin();
