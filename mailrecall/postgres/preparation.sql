-- name: make_shards_known
-- A shard's number is its place in the settings' list. Rows are only added: mailboxes may lie on a shard that the settings
-- forgot, and that must show as an error of theirs, not as lost mailboxes.
INSERT INTO shard (id) SELECT generate_series(0, %(shards)s - 1) ON CONFLICT DO NOTHING
