-- name: moment
-- The only statement that asks the database what time it is.
SELECT clock_timestamp()
