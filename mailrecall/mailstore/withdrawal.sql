-- name: claim
-- A second delivery of the same task waits here for the first one's transaction, and then returns what it wrote.
-- A later attempt of an all-or-nothing recall (R12, R13) takes its place.
INSERT INTO withdrawal (recall_id, batch, attempt, done_at) VALUES (%(recall_id)s, %(batch)s, %(attempt)s, %(now)s)
ON CONFLICT (recall_id, batch) DO UPDATE SET attempt = excluded.attempt, counts = NULL, done_at = excluded.done_at
 WHERE withdrawal.attempt < excluded.attempt

-- name: forget_earlier_attempt
DELETE FROM outcome WHERE recall_id = %(recall_id)s AND batch = %(batch)s

-- name: counts
SELECT counts FROM withdrawal WHERE recall_id = %(recall_id)s AND batch = %(batch)s FOR UPDATE

-- name: claim_deposit
-- R16: a batch that nobody deposited yet is ours from here on.
INSERT INTO deposit (message_id, batch, recall_id) VALUES (%(message_id)s, %(batch)s, %(recall_id)s) ON CONFLICT DO NOTHING

-- name: deposit_knew
-- R16: the deposit came before this withdrawal, but after the recall was accepted, and left its copies out.
SELECT FROM deposit WHERE message_id = %(message_id)s AND batch = %(batch)s AND recall_id = %(recall_id)s

-- name: record_undelivered
INSERT INTO outcome (recall_id, mailbox_id, outcome, via, batch)
SELECT %(recall_id)s, mailbox_id, CASE WHEN mailbox_id = ANY (%(out_of_scope)s::int[]) THEN {EXTERNAL} ELSE %(outcome)s END,
       via, %(batch)s
  FROM unnest(%(mailbox_ids)s::int[], %(via)s::smallint[]) AS r (mailbox_id, via)

-- name: leave_out_of_scope
-- R1: copies of recipients outside the policy's scope are not touched.
INSERT INTO outcome (recall_id, mailbox_id, outcome, via, folder, flags, batch)
SELECT %(recall_id)s, mailbox_id, {EXTERNAL}, via, folder, flags, %(batch)s
  FROM copy
 WHERE message_id = %(message_id)s AND mailbox_id = ANY (%(out_of_scope)s::int[])
   AND mailbox_id BETWEEN %(first)s AND %(last)s
ON CONFLICT DO NOTHING

-- name: withdraw
-- A copy that someone is reading this moment is locked: the DELETE waits, looks again, and leaves it when it was read.
-- Counted on the way: reading the ledger again for it would cost a tenth of the whole.
WITH withdrawn AS (
    DELETE FROM copy
     WHERE message_id = %(message_id)s AND mailbox_id BETWEEN %(first)s AND %(last)s AND facts & {BLOCKING} = 0{MEMBERS}
    RETURNING mailbox_id, via, folder, flags
), written AS (
    INSERT INTO outcome (recall_id, mailbox_id, outcome, via, folder, flags, batch)
    SELECT %(recall_id)s, mailbox_id, {RECALLED}, via, folder, flags, %(batch)s FROM withdrawn
)
SELECT via, {RECALLED}, count(*) FROM withdrawn GROUP BY via

-- name: withdraw_in_scope
-- As above with recipients to leave out: apart, because the common statement must stay as bare as it is.
WITH withdrawn AS (
    DELETE FROM copy
     WHERE message_id = %(message_id)s AND mailbox_id BETWEEN %(first)s AND %(last)s AND facts & {BLOCKING} = 0
       AND mailbox_id <> ALL (%(out_of_scope)s::int[]){MEMBERS}
    RETURNING mailbox_id, via, folder, flags
)
INSERT INTO outcome (recall_id, mailbox_id, outcome, via, folder, flags, batch)
SELECT %(recall_id)s, mailbox_id, {RECALLED}, via, folder, flags, %(batch)s FROM withdrawn

-- name: classify_rest
-- A statement of its own, so that it sees what was committed while the first one waited: every copy that is still here has a
-- fact that keeps it, and facts are never taken back. The CASE comes from domain.outcomes.ELIGIBILITY.
WITH kept AS MATERIALIZED (
    SELECT mailbox_id, {OUTCOME_CASE} AS outcome, via, folder, flags
      FROM copy
     WHERE message_id = %(message_id)s AND mailbox_id BETWEEN %(first)s AND %(last)s AND facts & {BLOCKING} <> 0{MEMBERS}
), written AS (
    INSERT INTO outcome (recall_id, mailbox_id, outcome, via, folder, flags, batch)
    SELECT %(recall_id)s, mailbox_id, outcome, via, folder, flags, %(batch)s FROM kept
)
SELECT via, outcome, count(*) FROM kept GROUP BY via, outcome

-- name: classify_rest_beside_others
-- As above where some have an outcome already: apart, because looking for one before each row costs as much as the row.
INSERT INTO outcome (recall_id, mailbox_id, outcome, via, folder, flags, batch)
SELECT %(recall_id)s, mailbox_id, {OUTCOME_CASE}, via, folder, flags, %(batch)s
  FROM copy
 WHERE message_id = %(message_id)s AND mailbox_id BETWEEN %(first)s AND %(last)s AND facts & {BLOCKING} <> 0{MEMBERS}
ON CONFLICT DO NOTHING  -- out of scope, or decided by an earlier run that an error left incomplete

-- name: classify_released
-- R13: every copy stays, for its own reason or for another's. R1: those out of scope were never asked for.
INSERT INTO outcome (recall_id, mailbox_id, outcome, via, folder, flags, batch)
SELECT %(recall_id)s, mailbox_id,
       CASE WHEN mailbox_id = ANY (%(out_of_scope)s::int[]) THEN {EXTERNAL} ELSE {RELEASED_CASE} END, via, folder, flags, %(batch)s
  FROM copy
 WHERE message_id = %(message_id)s AND mailbox_id BETWEEN %(first)s AND %(last)s{MEMBERS}

-- name: count_range
SELECT count(*) FROM outcome WHERE recall_id = %(recall_id)s AND batch = %(batch)s

-- name: without_outcome
SELECT mailbox_id, via
  FROM unnest(%(mailbox_ids)s::int[], %(via)s::smallint[]) AS r (mailbox_id, via)
 WHERE NOT EXISTS (SELECT FROM outcome o WHERE o.recall_id = %(recall_id)s AND o.mailbox_id = r.mailbox_id)

-- name: still_here
SELECT mailbox_id FROM copy WHERE message_id = %(message_id)s AND mailbox_id = ANY (%(mailbox_ids)s::int[])

-- name: leave_notices
-- R17: where the policy wants it, a short notice takes each withdrawn copy's place, in the same transaction.
INSERT INTO copy (mailbox_id, folder, via, message_id)
SELECT mailbox_id, folder, 0, %(notice_id)s
  FROM outcome
 WHERE recall_id = %(recall_id)s AND mailbox_id BETWEEN %(first)s AND %(last)s AND batch = %(batch)s
   AND outcome = {RECALLED} AND folder IS NOT NULL
ON CONFLICT DO NOTHING

-- name: forget_unreachable
-- R12: recipients that an error kept from being decided are tried again when the recall is asked for again; R26: unless all of it
-- was undone before that try came. The row of the withdrawal, which both lock, says which of them came first.
DELETE FROM outcome WHERE recall_id = %(recall_id)s AND batch = %(batch)s AND outcome = {UNREACHABLE}
   AND NOT EXISTS (SELECT FROM restoration WHERE recall_id = %(recall_id)s AND batch = %(batch)s)

-- name: write_counts
UPDATE withdrawal SET counts = %(counts)s WHERE recall_id = %(recall_id)s AND batch = %(batch)s

-- name: sum_up
UPDATE withdrawal
   SET counts = (SELECT coalesce(jsonb_object_agg(via, outcomes), '{}')
                   FROM (SELECT via, jsonb_object_agg({SLUG_CASE}, n) AS outcomes
                           FROM (SELECT via, outcome, count(*) AS n FROM outcome
                                  WHERE recall_id = %(recall_id)s AND mailbox_id BETWEEN %(first)s AND %(last)s
                                    AND batch = %(batch)s
                                  GROUP BY via, outcome) AS counted
                          GROUP BY via) AS per_via)
 WHERE recall_id = %(recall_id)s AND batch = %(batch)s
RETURNING counts
