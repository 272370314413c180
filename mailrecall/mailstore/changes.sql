-- name: announce
SELECT pg_notify(%(channel)s, %(payload)s)
