-- name: announce
SELECT pg_notify('{CHANNEL}', %(payload)s)

-- name: listen
LISTEN {CHANNEL}
