-- name: lock_requests
-- Before the recall, as an admission locks them: requests of many messages, this one among them, that have yet to get its recall.
-- What waits for approval is not agreed to, and is another matter.
SELECT m.request_id
  FROM requested_message m JOIN recall_request q ON q.id = m.request_id
 WHERE m.message_id = (SELECT message_id FROM recall WHERE public_id = %(public_id)s)
   AND m.refusal IS NULL AND m.recall_id IS NULL AND (q.approval IS NULL OR q.approval = 'approved')
 ORDER BY m.request_id
   FOR UPDATE OF m

-- name: answer_requests
-- R12: who asked before the undo asked for the recall that it undoes. Else their turn would come after it, and take everything
-- again.
UPDATE requested_message m SET recall_id = %(recall_id)s
  FROM recall_request q
 WHERE q.id = m.request_id AND m.message_id = %(message_id)s AND m.request_id = ANY (%(request_ids)s)
RETURNING q.id, q.organisation_id, q.requested_by, q.reason

-- name: lock_recall
-- Orders an undo with a repeat of the recall (R12), with corrections of its counts, and with the purge.
SELECT r.id, r.organisation_id, r.message_id, r.state, r.settled_at, r.policy, r.purged_at IS NOT NULL,
       m.hold IN ('cancelled', 'rejected')
  FROM recall r JOIN message m ON m.id = r.message_id
 WHERE r.public_id = %(public_id)s
   FOR UPDATE OF r

-- name: begin
INSERT INTO undo (recall_id, requested_by, requested_at, reason, batches_left)
SELECT %(recall_id)s, %(requested_by)s, %(now)s, %(reason)s, count(*) FROM recall_batch WHERE recall_id = %(recall_id)s

-- name: plan_batches
INSERT INTO undo_batch (recall_id, batch, shard)
SELECT recall_id, batch, shard FROM recall_batch WHERE recall_id = %(recall_id)s
RETURNING batch, shard

-- name: find
SELECT u.requested_by, u.requested_at, u.restored_at, u.reason, coalesce(sum(b.restored), 0)::int, coalesce(sum(b.gone), 0)::int
  FROM undo u LEFT JOIN undo_batch b USING (recall_id)
 WHERE u.recall_id = %(recall_id)s
 GROUP BY u.recall_id

-- name: find_many
SELECT u.recall_id, u.requested_by, u.requested_at, u.restored_at, u.reason, coalesce(sum(b.restored), 0)::int,
       coalesce(sum(b.gone), 0)::int
  FROM undo u LEFT JOIN undo_batch b USING (recall_id)
 WHERE u.recall_id = ANY (%(recall_ids)s)
 GROUP BY u.recall_id

-- name: batch_to_restore
-- Not before its withdrawal and its deposit are over: a shard that was away may still have to do both, and what it did without
-- would be undone again, or would stay out.
SELECT u.done_at IS NOT NULL AS done, r.message_id, r.notice_message_id AS notice_id, r.attempt,
       b.state IN ('done', 'unreachable') AND d.deposited_at IS NOT NULL AS ready,
       d.first, d.last,
       CASE WHEN d.furthest_kinship > %(furthest)s
            THEN (SELECT array_agg(m) FROM unnest(d.mailbox_ids, d.kinship) AS k (m, kinship) WHERE k.kinship > %(furthest)s)
       END AS out_of_scope,
       (SELECT coalesce(array_agg(a.id), '{}') FROM account a
         WHERE a.id = ANY (d.mailbox_ids) AND a.closed_at IS NOT NULL) AS closed
  FROM undo_batch u
  JOIN recall r ON r.id = u.recall_id
  JOIN recall_batch b ON b.recall_id = u.recall_id AND b.batch = u.batch
  JOIN delivery_batch d ON d.message_id = r.message_id AND d.batch = u.batch
 WHERE u.recall_id = %(recall_id)s AND u.batch = %(batch)s

-- name: lock
SELECT organisation_id, message_id FROM recall WHERE id = %(recall_id)s FOR UPDATE

-- name: batch_restored
UPDATE undo_batch SET restored = %(restored)s, gone = %(gone)s, done_at = %(now)s
 WHERE recall_id = %(recall_id)s AND batch = %(batch)s AND done_at IS NULL

-- name: batches_left
-- The row lock makes exactly one batch the last.
UPDATE undo SET batches_left = batches_left - 1, restored_at = CASE WHEN batches_left = 1 THEN %(now)s END
 WHERE recall_id = %(recall_id)s
RETURNING batches_left

-- name: undone
UPDATE recall SET undone_at = %(now)s WHERE id = %(recall_id)s

-- name: stuck
-- Nothing should ever be found here: undos whose next step has no work in the outbox. What was put aside waits for an operator.
SELECT b.recall_id, b.batch, b.shard
  FROM undo u JOIN undo_batch b USING (recall_id)
 WHERE u.restored_at IS NULL AND u.requested_at < %(before)s AND b.done_at IS NULL
   AND NOT EXISTS (SELECT FROM outbox o WHERE o.task = 'recall.restore' AND (o.args ->> 'recall_id')::bigint = u.recall_id
                                              AND (o.args ->> 'batch')::int = b.batch)
 ORDER BY 1, 2 LIMIT 100
