-- name: make_shards_known
-- A shard's number is its place in the settings' list. Rows are only added: mailboxes may lie on a shard that the settings
-- forgot, and that must show as an error of theirs, not as lost mailboxes. The first ones are open; one that comes later takes
-- no mailboxes before every process knows it, which `mailrecall shards add` is told (ADR 0027).
INSERT INTO shard (id, takes_new)
SELECT number, NOT EXISTS (SELECT FROM shard) FROM unnest(%(numbers)s::smallint[]) AS number
ON CONFLICT DO NOTHING
