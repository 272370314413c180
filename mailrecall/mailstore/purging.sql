-- Small statements, each a transaction of its own: nobody waits for a purge, and one that dies half-way goes on where it was.

-- name: outcomes
DELETE FROM outcome
 WHERE recall_id = %(recall_id)s
   AND mailbox_id IN (SELECT mailbox_id FROM outcome
                       WHERE recall_id = %(recall_id)s AND mailbox_id <> ALL (%(held)s::int[])
                       ORDER BY mailbox_id LIMIT %(limit)s)

-- name: duplicates
-- With what lists showed of them. Their content is that of what they were copies of.
WITH doomed AS (
    SELECT mailbox_id, message_id FROM withdrawn_duplicate
     WHERE recall_id = %(recall_id)s AND mailbox_id <> ALL (%(held)s::int[])
     ORDER BY mailbox_id, message_id LIMIT %(limit)s
), listed AS (
    DELETE FROM message m USING doomed d
     WHERE m.id = d.message_id AND NOT EXISTS (SELECT FROM copy c WHERE c.message_id = m.id)
)
DELETE FROM withdrawn_duplicate w USING doomed d
 WHERE w.recall_id = %(recall_id)s AND w.mailbox_id = d.mailbox_id AND w.message_id = d.message_id

-- name: left
SELECT EXISTS (SELECT FROM outcome WHERE recall_id = %(recall_id)s)
    OR EXISTS (SELECT FROM withdrawn_duplicate WHERE recall_id = %(recall_id)s)

-- name: batches
WITH withdrawn AS (DELETE FROM withdrawal WHERE recall_id = %(recall_id)s)
DELETE FROM restoration WHERE recall_id = %(recall_id)s

-- name: message
-- Only what nothing refers to: no copy, not even one that its owner deleted; no duplicate or draft; no ledger from which it could
-- have to come back.
DELETE FROM message m
 WHERE m.id = %(message_id)s
   AND NOT EXISTS (SELECT FROM copy c WHERE c.message_id = m.id)
   AND NOT EXISTS (SELECT FROM duplicate d WHERE d.origin_id = m.id)
   AND NOT EXISTS (SELECT FROM draft d WHERE d.copy_id = m.id)
   AND NOT EXISTS (SELECT FROM withdrawn_duplicate w WHERE w.recall_id = ANY (%(recalls)s::bigint[]))
   AND NOT EXISTS (SELECT FROM outcome o WHERE o.recall_id = ANY (%(recalls)s::bigint[]) AND o.outcome = {RECALLED})

-- name: sharing
-- The author's own copy and duplicates have the content under ids of their own. When their mailbox moved, what lists showed of them
-- stayed here, and no copy refers to it any more.
DELETE FROM message m
 WHERE m.body_id = %(message_id)s AND m.id <> %(message_id)s
   AND NOT EXISTS (SELECT FROM copy c WHERE c.message_id = m.id)
   AND NOT EXISTS (SELECT FROM duplicate d WHERE d.origin_id = m.id)
   AND NOT EXISTS (SELECT FROM draft d WHERE d.copy_id = m.id)
   AND NOT EXISTS (SELECT FROM withdrawn_duplicate w WHERE w.recall_id = ANY (%(recalls)s::bigint[]) AND w.message_id = m.id)

-- name: body
-- The author's own copy, duplicates and versions of a draft share it under other ids.
DELETE FROM body b WHERE b.id = %(message_id)s AND NOT EXISTS (SELECT FROM message m WHERE m.body_id = b.id)
