-- name: filled
-- Closed mailboxes still lie there, but grow no more: they do not count.
SELECT shard.id, count(account.id)
  FROM shard LEFT JOIN account ON account.shard = shard.id AND account.closed_at IS NULL
 WHERE shard.takes_new
 GROUP BY shard.id

-- name: is_steady
SELECT placement_is_steady()
