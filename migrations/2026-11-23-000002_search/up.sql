-- Search finds any part of a word in any script. Trigram extensions drop what their locale does not call a
-- letter (emoji, and Chinese under C) and can do nothing for one or two characters, which is a whole word in
-- Chinese. So the index holds every run of one, two and three characters, and a search asks for the longest runs
-- it has.

-- The form in which texts are compared: compatibility forms folded, lower case by Unicode's rules.
CREATE FUNCTION search_fold(words text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT lower(normalize(words, NFKC) COLLATE "und-x-icu") $$;

-- What the index holds of a folded text.
CREATE FUNCTION search_grams(folded text) RETURNS text[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1000
    AS $$
        WITH runs AS (
            SELECT c AS one, c || lead(c) OVER w AS two, c || lead(c) OVER w || lead(c, 2) OVER w AS three
            FROM unnest(string_to_array(folded, NULL)) WITH ORDINALITY AS characters (c, place)
            WINDOW w AS (ORDER BY place)
        )
        SELECT coalesce(array_agg(DISTINCT gram), '{}')
        FROM runs, unnest(ARRAY[one, two, three]) AS gram
        WHERE gram IS NOT NULL
    $$;

-- What must be in the index for a text to contain this folded word: its runs of the greatest length up to three.
CREATE FUNCTION search_query(folded text) RETURNS text[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1000
    AS $$
        SELECT coalesce(array_agg(DISTINCT substr(folded, place, least(length(folded), 3))), '{}')
        FROM generate_series(1, greatest(length(folded) - 2, 1)) AS place
    $$;
