-- How many watched a stream, minute by minute from the one in which it began: the most at one time in each stretch of so
-- many minutes, and null for one in which nobody counted. A row a stream, however long it is: when there are too many
-- stretches, each two become one that is twice as long.
CREATE TABLE stream_audiences (
    stream_id uuid PRIMARY KEY REFERENCES streams ON DELETE CASCADE,
    minutes integer NOT NULL DEFAULT 1 CHECK (minutes > 0),
    viewers integer[] NOT NULL CHECK (cardinality(viewers) <= 360)
);

CREATE FUNCTION stream_audiences_thin() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
        BEGIN
            WHILE cardinality(NEW.viewers) > 360 LOOP
                NEW.viewers := ARRAY(
                    SELECT max(most) FROM unnest(NEW.viewers) WITH ORDINALITY AS stretches (most, place)
                    GROUP BY (place - 1) / 2 ORDER BY (place - 1) / 2
                );
                NEW.minutes := NEW.minutes * 2;
            END LOOP;
            RETURN NEW;
        END
    $$;
CREATE TRIGGER stream_audiences_thin BEFORE INSERT OR UPDATE ON stream_audiences
    FOR EACH ROW WHEN (cardinality(NEW.viewers) > 360) EXECUTE FUNCTION stream_audiences_thin();
