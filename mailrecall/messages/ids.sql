-- name: unused_ids
SELECT nextval('message_id') FROM generate_series(1, %(count)s)
