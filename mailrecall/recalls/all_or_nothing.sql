-- name: reopen_released
-- R12, R13: what a silent shard kept an all-or-nothing recall from is tried again as a whole, and decided anew.
WITH reopened AS (
    UPDATE recall_batch b SET state = 'pending', counts = NULL, done_at = NULL
     WHERE b.recall_id = %(recall_id)s
       AND EXISTS (SELECT FROM recall_batch u WHERE u.recall_id = b.recall_id
                                                AND (u.state = 'unreachable' OR u.counts @? '$.*.unreachable'))
       AND EXISTS (SELECT FROM recall r JOIN decision d ON d.recall_id = r.id AND d.attempt = r.attempt
                    WHERE r.id = b.recall_id AND r.state = 'settled' AND r.purged_at IS NULL AND d.verdict = 'release')
       AND NOT EXISTS (SELECT FROM undo v WHERE v.recall_id = b.recall_id)
    RETURNING b.batch, b.shard
), running AS (
    UPDATE recall SET state = 'running', result = NULL, settled_at = NULL, deadline_at = %(deadline_at)s, attempt = attempt + 1,
                      batches_left = (SELECT count(*) FROM reopened)
     WHERE id = %(recall_id)s AND EXISTS (SELECT FROM reopened)
)
SELECT batch, shard FROM reopened ORDER BY batch

-- name: attempt
SELECT r.attempt, r.policy, d.verdict, m.hold
  FROM recall r JOIN message m ON m.id = r.message_id
  LEFT JOIN decision d ON d.recall_id = r.id AND d.attempt = r.attempt
 WHERE r.id = %(recall_id)s

-- name: take_over_attempt
-- A later attempt than the one known here was carried out on a shard. Not over a purge's or an undo's head (R26).
WITH forgotten AS (
    SELECT id FROM recall r
     WHERE r.id = %(recall_id)s AND r.purged_at IS NULL AND NOT EXISTS (SELECT FROM undo v WHERE v.recall_id = r.id)
), reopened AS (
    UPDATE recall_batch b SET state = 'pending', counts = NULL, done_at = NULL
     WHERE b.recall_id = (SELECT id FROM forgotten)
    RETURNING b.batch
)
UPDATE recall SET state = CASE state WHEN 'settled' THEN 'running' ELSE state END, result = NULL, settled_at = NULL,
                  attempt = %(attempt)s, batches_left = (SELECT count(*) FROM reopened)
 WHERE id = (SELECT id FROM forgotten)

-- name: give_time
UPDATE recall SET deadline_at = greatest(deadline_at, %(deadline_at)s) WHERE id = ANY (%(recall_ids)s::bigint[])

-- name: batch_prepared
UPDATE recall_batch SET prepared_attempt = %(attempt)s
 WHERE recall_id = %(recall_id)s AND batch = %(batch)s AND state = 'pending'

-- name: all_prepared
SELECT NOT EXISTS (SELECT FROM recall_batch WHERE recall_id = %(recall_id)s AND prepared_attempt <> %(attempt)s)

-- name: give_up_unprepared
-- R9: whether these copies were to go, nobody said by the deadline.
UPDATE recall_batch b
   SET state = 'unreachable', done_at = %(now)s,
       counts = (SELECT jsonb_object_agg(via, jsonb_build_object('unreachable', n))
                   FROM (SELECT v.via, count(*) AS n FROM unnest(d.via) AS v (via) GROUP BY 1) AS counted)
  FROM delivery_batch d
 WHERE b.recall_id = %(recall_id)s AND b.state = 'pending' AND d.message_id = %(message_id)s AND d.batch = b.batch
   AND b.prepared_attempt <> %(attempt)s

-- name: assume_carried_out
-- R13: decided, and so it will be whenever the shard can be reached: its readers go by the decision until then.
UPDATE recall_batch b
   SET state = 'assumed', done_at = %(now)s,
       counts = (SELECT jsonb_object_agg(via, outcomes)
                   FROM (SELECT via, jsonb_object_agg(outcome, n) AS outcomes
                           FROM (SELECT v.via, count(*) AS n,
                                        CASE WHEN v.kinship > %(furthest)s THEN 'external' ELSE %(outcome)s END AS outcome
                                   FROM unnest(d.via, d.kinship) AS v (via, kinship) GROUP BY 1, 3) AS counted
                          GROUP BY via) AS per_via)
  FROM delivery_batch d
 WHERE b.recall_id = %(recall_id)s AND b.state = 'pending' AND d.message_id = %(message_id)s AND d.batch = b.batch

-- name: lock_recall
SELECT FROM recall WHERE id = %(recall_id)s FOR UPDATE
