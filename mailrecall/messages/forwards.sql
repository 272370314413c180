-- name: insert_forwards
INSERT INTO forward (message_id, account_id, target)
SELECT %(message_id)s, account_id, target FROM unnest(%(account_ids)s::int[], %(targets)s::text[]) AS f (account_id, target)
ON CONFLICT DO NOTHING
RETURNING account_id

-- name: lock_forward
-- The row lock makes exactly one run accept the forward.
SELECT f.target, m.accepted_at, c.content
  FROM forward f JOIN message m ON m.id = f.message_id JOIN message_content c ON c.message_id = f.message_id
 WHERE f.message_id = %(message_id)s AND f.account_id = %(account_id)s AND f.done_at IS NULL
   FOR UPDATE OF f

-- name: forwarded
UPDATE forward SET done_at = %(now)s, forward_message_id = %(forward_message_id)s
 WHERE message_id = %(message_id)s AND account_id = %(account_id)s
