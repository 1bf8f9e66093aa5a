DROP FUNCTION search_query;
DROP FUNCTION search_grams;
DROP FUNCTION search_fold;
