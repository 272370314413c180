-- name: waiting
-- Which attempt of which recall marked copies wait for; duplicates wait for what their origin waits for. One snapshot: mark and
-- recall come and go together, so a mark without a recall has nothing to wait for.
SELECT c.message_id, coalesce(d.origin_id, c.message_id), p.recall_id, p.attempt, p.prepared_at
  FROM copy c
  LEFT JOIN duplicate d ON d.mailbox_id = c.mailbox_id AND d.message_id = c.message_id
  LEFT JOIN prepared p ON p.message_id = coalesce(d.origin_id, c.message_id) AND c.mailbox_id BETWEEN p.first AND p.last
 WHERE c.mailbox_id = %(mailbox_id)s AND c.message_id = ANY (%(copy_ids)s::bigint[]) AND c.facts & {PREPARED} <> 0

-- name: hold_still
-- Neither a further attempt of the recall (R12) nor what carries its release out passes until the caller's transaction ends.
SELECT FROM prepared
 WHERE recall_id = %(recall_id)s AND attempt = %(attempt)s AND message_id = %(message_id)s
   AND %(mailbox_id)s BETWEEN first AND last
   FOR SHARE
