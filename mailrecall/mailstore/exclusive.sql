-- The class number keeps these apart from other advisory locks with two keys.

-- name: take
SELECT pg_try_advisory_lock(1939, %(mailbox_id)s)

-- name: release
SELECT pg_advisory_unlock(1939, %(mailbox_id)s)

-- name: check
SELECT
