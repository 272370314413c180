-- name: wait_briefly
-- R11: the answer comes at once. A deposit that hangs with its shard holds the row for longer than anybody should wait.
SET LOCAL lock_timeout = '5s'

-- name: lock_subject
-- The row lock orders two requests for one message, a request with the message's expansion, and a request with deposits under
-- way, which hold the row FOR KEY SHARE until their shard has committed (R16). A statement of its own: what waited for the lock
-- would see the message as it is now, and its batches as they were before. The advisory lock, which has a queue, comes first:
-- deposits that begin from here on wait for their turn.
SELECT FROM message m, pg_advisory_xact_lock(1944, (%(message_id)s::bigint %% 2147483647)::int)
 WHERE m.id = %(message_id)s FOR UPDATE OF m

-- name: subject
-- What a request is judged by, once it has the lock. Once the message is expanded it is known who is in scope (R1); before that, a group may always hold somebody who is.
SELECT m.id, m.sender_account_id, m.organisation_id, m.channel, m.accepted_at,
       CASE WHEN m.expanded_at IS NOT NULL
            THEN EXISTS (SELECT FROM delivery_batch d WHERE d.message_id = m.id AND d.kinship && %(in_scope)s::smallint[])
            ELSE EXISTS (SELECT FROM envelope_recipient e
                           LEFT JOIN account a ON a.id = e.account_id LEFT JOIN account s ON s.id = m.sender_account_id
                          WHERE e.message_id = m.id
                            AND (e.kind = 'group'
                                 OR e.kind = 'account'
                                    AND CASE WHEN a.domain_id = s.domain_id THEN 0
                                             WHEN a.organisation_id = m.organisation_id THEN 1
                                             ELSE 2 END = ANY (%(in_scope)s::smallint[])))
       END AS local_recipients
  FROM message m
 WHERE m.id = %(message_id)s

-- name: recall_of_message
-- R12: one a message, until all of it was undone (R26); from then on it is as if nobody had asked.
SELECT id, requested_by, organisation_id FROM recall WHERE message_id = %(message_id)s AND undone_at IS NULL

-- name: count_in_turn
-- R10: of an account's requests at the same time, each counts those before it. A statement of its own: the next one sees them.
SELECT pg_advisory_xact_lock(1945, %(account_id)s)

-- name: recent_recalls
-- What was asked for in one go counts once (R21).
SELECT (SELECT count(*) FROM recall WHERE requested_by = %(account_id)s AND requested_at > %(since)s AND request_id IS NULL)
       + (SELECT count(*) FROM recall_request WHERE requested_by = %(account_id)s AND requested_at > %(since)s)

-- name: insert_recall
INSERT INTO recall (message_id, organisation_id, requested_by, as_administrator, reason, policy, requested_at, deadline_at,
                    notice_message_id)
VALUES (%(message_id)s, %(organisation_id)s, %(requested_by)s, %(as_administrator)s, %(reason)s, %(policy)s,
        %(requested_at)s, %(deadline_at)s, CASE WHEN %(tombstone)s THEN nextval('message_id') END)
RETURNING id

-- name: reopen_unreachable
-- R12: a repeat tries again what no shard answered for. Returns the batches to withdraw.
WITH reopened AS (
    UPDATE recall_batch b SET state = 'pending', counts = NULL, done_at = NULL
     WHERE b.recall_id = %(recall_id)s
       AND (b.state = 'unreachable' OR b.counts @? '$.*.unreachable')
       -- R26: what was purged of its ledger would be taken for gone
       AND EXISTS (SELECT FROM recall r WHERE r.id = b.recall_id AND r.state = 'settled' AND r.purged_at IS NULL)
       -- R26: nor while an undo puts back what it took; when that is done, asking again begins another recall
       AND NOT EXISTS (SELECT FROM undo v WHERE v.recall_id = b.recall_id)
       -- of all or nothing, only what was decided to go is carried on with
       AND NOT EXISTS (SELECT FROM recall r JOIN decision d ON d.recall_id = r.id AND d.attempt = r.attempt
                        WHERE r.id = b.recall_id AND d.verdict = 'release')
    RETURNING b.batch, b.shard
), running AS (
    UPDATE recall SET state = 'running', result = NULL, settled_at = NULL, deadline_at = %(deadline_at)s,
                      batches_left = (SELECT count(*) FROM reopened)
     WHERE id = %(recall_id)s AND EXISTS (SELECT FROM reopened)
)
SELECT batch, shard FROM reopened ORDER BY batch

-- name: recall_by_public_id
SELECT r.id, r.public_id, r.message_id, r.organisation_id, r.requested_by, r.as_administrator, r.reason, r.policy,
       r.requested_at, r.deadline_at, r.state, r.result, r.settled_at, r.external, r.report_message_id,
       r.author_report_message_id, m.subject
  FROM recall r JOIN message m ON m.id = r.message_id
 WHERE r.public_id = %(public_id)s

-- name: recall_by_id
SELECT r.id, r.public_id, r.message_id, r.organisation_id, r.requested_by, r.as_administrator, r.reason, r.policy,
       r.requested_at, r.deadline_at, r.state, r.result, r.settled_at, r.external, r.report_message_id,
       r.author_report_message_id, m.subject
  FROM recall r JOIN message m ON m.id = r.message_id
 WHERE r.id = %(recall_id)s

-- name: recall_of_message_id
SELECT r.id, r.public_id, r.message_id, r.organisation_id, r.requested_by, r.as_administrator, r.reason, r.policy,
       r.requested_at, r.deadline_at, r.state, r.result, r.settled_at, r.external, r.report_message_id,
       r.author_report_message_id, m.subject
  FROM recall r JOIN message m ON m.id = r.message_id
 WHERE r.message_id = %(message_id)s AND r.undone_at IS NULL

-- name: batch_counts
SELECT recipients, counts FROM recall_batch WHERE recall_id = %(recall_id)s

-- name: externals_by_via
SELECT via, count(*) FROM external_recipient WHERE message_id = %(message_id)s GROUP BY via

-- name: marks
-- R15: of several recalls, all but the last undone, the last.
SELECT DISTINCT ON (r.message_id) r.message_id, r.public_id, r.state, r.result,
       CASE WHEN u.recall_id IS NOT NULL THEN CASE WHEN u.restored_at IS NULL THEN 'restoring' ELSE 'restored' END END
  FROM recall r LEFT JOIN undo u ON u.recall_id = r.id
 WHERE r.message_id = ANY(%(message_ids)s)
 ORDER BY r.message_id, r.id DESC

-- name: message_of_recall
SELECT message_id FROM recall WHERE id = %(recall_id)s

-- name: lock_for_plan
SELECT id, message_id, state FROM recall WHERE id = %(recall_id)s FOR UPDATE

-- name: plan_batches
INSERT INTO recall_batch (recall_id, batch, shard, recipients)
SELECT %(recall_id)s, batch, shard, recipients FROM delivery_batch WHERE message_id = %(message_id)s
ON CONFLICT DO NOTHING

-- name: start_running
UPDATE recall
   SET state = 'running',
       batches_left = (SELECT count(*) FROM recall_batch WHERE recall_id = %(recall_id)s AND state = 'pending'),
       external = (SELECT count(*) FROM external_recipient WHERE message_id = recall.message_id)
 WHERE id = %(recall_id)s
RETURNING batches_left

-- name: pending_batches
SELECT batch, shard FROM recall_batch WHERE recall_id = %(recall_id)s AND state = 'pending' ORDER BY batch

-- name: batch_to_withdraw
-- Everything one withdrawal needs but the recipients themselves, who are read only when some have no copy or are out of scope.
SELECT r.message_id, r.policy, r.notice_message_id, r.requested_at, r.deadline_at, r.attempt, x.verdict, b.state, b.recipients,
       d.first, d.last,
       EXISTS (SELECT FROM recall e JOIN undo u ON u.recall_id = e.id
                WHERE e.message_id = r.message_id AND e.id < r.id AND u.restored_at IS NULL) AS waits_for_undo,
       CASE WHEN d.furthest_kinship > %(furthest)s
            THEN (SELECT array_agg(m) FROM unnest(d.mailbox_ids, d.kinship) AS k (m, kinship) WHERE k.kinship > %(furthest)s)
       END AS out_of_scope
  FROM recall r
  JOIN recall_batch b ON b.recall_id = r.id
  JOIN delivery_batch d ON d.message_id = r.message_id AND d.batch = b.batch
  LEFT JOIN decision x ON x.recall_id = r.id AND x.attempt = r.attempt
 WHERE r.id = %(recall_id)s AND b.batch = %(batch)s

-- name: recall_policy
SELECT policy FROM recall WHERE id = %(recall_id)s

-- name: author_address
SELECT coalesce(a.address, m.envelope_sender)
  FROM message m LEFT JOIN address a ON a.account_id = m.sender_account_id AND NOT a.is_alias
 WHERE m.id = %(message_id)s

-- name: recipients_of_batch
SELECT d.mailbox_ids, d.via
  FROM recall r JOIN delivery_batch d ON d.message_id = r.message_id
 WHERE r.id = %(recall_id)s AND d.batch = %(batch)s

-- name: batch_done
-- Also takes the place of a verdict 'unreachable' that came before the shard's answer: what the shard committed is the truth.
-- Of two runs, each counts what it left in the ledger, whichever comes here first. Copies that failed the one and that the other
-- took are fewer there: they never fail again. A run of an attempt (R12, R13) that is over says nothing of the next, and one that
-- finds the ledger purged (R26) nothing at all.
WITH before AS (
    SELECT b.state, b.recipients, b.counts, r.purged_at IS NULL AS has_ledger
      FROM recall_batch b JOIN recall r ON r.id = b.recall_id AND r.attempt = %(attempt)s
     WHERE b.recall_id = %(recall_id)s AND b.batch = %(batch)s
       FOR UPDATE OF b
), written AS (
    UPDATE recall_batch b SET state = 'done', counts = %(counts)s, done_at = %(now)s
      FROM before
     WHERE b.recall_id = %(recall_id)s AND b.batch = %(batch)s
       AND (before.state <> 'done'
            OR before.has_ledger
               AND (SELECT coalesce(sum((o ->> 'unreachable')::int), 0) FROM jsonb_each(before.counts) AS had (via, o))
                   > (SELECT coalesce(sum((o ->> 'unreachable')::int), 0) FROM jsonb_each(%(counts)s) AS has (via, o)))
    RETURNING 1
)
SELECT before.state, EXISTS (SELECT FROM written), before.recipients FROM before

-- name: batches_left
-- The row lock makes exactly one batch the last.
UPDATE recall SET batches_left = batches_left - %(done)s WHERE id = %(recall_id)s RETURNING batches_left

-- name: settle
UPDATE recall SET state = 'settled', result = %(result)s, settled_at = %(now)s
 WHERE id = %(recall_id)s AND state = 'running' AND batches_left = 0
RETURNING id

-- name: correct_result
UPDATE recall SET result = %(result)s WHERE id = %(recall_id)s AND state = 'settled'

-- name: overdue
SELECT id FROM recall WHERE state = 'running' AND deadline_at < %(answer_by)s ORDER BY id LIMIT 100

-- name: lock_recall
SELECT state FROM recall WHERE id = %(recall_id)s FOR UPDATE

-- name: give_up_batches
-- R9: what no shard answered for by the deadline is unreachable, counted from the recipients the delivery wrote down. R16: what
-- was not delivered either counts as recalled, for its deposit will find the recall.
UPDATE recall_batch b
   SET state = CASE WHEN d.deposited_at IS NULL THEN 'assumed' ELSE 'unreachable' END, done_at = %(now)s,
       counts = (SELECT jsonb_object_agg(via, outcomes)
                   FROM (SELECT via, jsonb_object_agg(outcome, n) AS outcomes
                           FROM (SELECT v.via, count(*) AS n,
                                        CASE WHEN d.deposited_at IS NOT NULL THEN 'unreachable'
                                             WHEN v.kinship > %(furthest)s THEN 'external'
                                             ELSE 'recalled' END AS outcome
                                   FROM unnest(d.via, d.kinship) AS v (via, kinship) GROUP BY 1, 3) AS counted
                          GROUP BY via) AS per_via)
  FROM delivery_batch d
 WHERE b.recall_id = %(recall_id)s AND b.state = 'pending' AND d.message_id = %(message_id)s AND d.batch = b.batch

-- name: close_withdrawals
-- The shard may come back: work on batches that were given up must not run on its own.
DELETE FROM outbox o USING recall_batch b
 WHERE o.task = 'recall.withdraw' AND (o.args ->> 'recall_id')::bigint = %(recall_id)s
   AND b.recall_id = %(recall_id)s AND b.batch = (o.args ->> 'batch')::int AND b.state = 'unreachable'

-- name: stuck
-- Nothing should ever be found here: recalls whose next step has no work in the outbox. What was put aside waits for an operator
-- until the deadline; from then on it is tried anew, as nothing else would ever settle the recall (R9).
SELECT r.id, r.state
  FROM recall r
 WHERE r.state <> 'settled' AND r.requested_at < %(before)s
   AND NOT EXISTS (SELECT FROM outbox o WHERE (o.args ->> 'recall_id')::bigint = r.id
                                              AND (NOT o.dead OR r.deadline_at > %(before)s))
 ORDER BY r.id LIMIT 100
