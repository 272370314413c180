-- name: wait_for_purges
-- Steps of the purge hold this lock shared until their shard has committed (recalls/purging.sql): what is held when this
-- transaction commits is passed over by every step from then on.
SELECT pg_advisory_xact_lock(7_305_418)

-- name: place
INSERT INTO legal_hold (account_id, organisation_id, reason, placed_by, placed_at)
VALUES (%(account_id)s, %(organisation_id)s, %(reason)s, %(placed_by)s, %(now)s)
ON CONFLICT DO NOTHING

-- name: lift
DELETE FROM legal_hold WHERE account_id = %(account_id)s

-- name: purge_again
-- What was left for a hold's sake is looked at again at once.
UPDATE recall SET purge_due_at = %(now)s WHERE purge_due_at > %(now)s

-- name: find
SELECT h.account_id, own.address, h.reason, h.placed_at
  FROM legal_hold h JOIN address own ON own.account_id = h.account_id AND NOT own.is_alias
 WHERE h.account_id = %(account_id)s

-- name: list
SELECT h.account_id, own.address, h.reason, h.placed_at
  FROM legal_hold h JOIN address own ON own.account_id = h.account_id AND NOT own.is_alias
 WHERE h.organisation_id = %(organisation_id)s
 ORDER BY own.address
