-- name: settings
SELECT name, setting FROM pg_settings
 WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers', 'wal_compression', 'server_version')

-- name: log_position
SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')

-- name: checkpoint
CHECKPOINT

-- name: tidy
VACUUM (ANALYZE) copy, outcome

-- name: is_quiet
SELECT NOT EXISTS (SELECT FROM outbox WHERE NOT dead AND due_at <= %(now)s)
