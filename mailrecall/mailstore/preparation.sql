-- name: begin
-- Also the lock that makes phase two, and a second run of phase one, wait for this transaction.
INSERT INTO prepared (recall_id, batch, attempt, message_id, first, last, prepared_at)
VALUES (%(recall_id)s, %(batch)s, %(attempt)s, %(message_id)s, %(first)s, %(last)s, %(now)s)
ON CONFLICT (recall_id, batch) DO UPDATE SET attempt = excluded.attempt, prepared_at = excluded.prepared_at
 WHERE prepared.attempt < excluded.attempt

-- name: is_over
-- A statement of its own, after the lock: phase two may have been here before this run of phase one.
SELECT FROM withdrawal WHERE recall_id = %(recall_id)s AND batch = %(batch)s AND attempt >= %(attempt)s

-- name: carried_out
SELECT w.recall_id, w.batch, w.attempt, {VERDICT_CASE}
  FROM withdrawal w
 WHERE w.recall_id = %(recall_id)s AND w.batch = %(batch)s

-- name: carried_out_here
SELECT w.recall_id, w.batch, w.attempt, {VERDICT_CASE}
  FROM withdrawal w
 WHERE w.done_at >= %(since)s AND (w.recall_id, w.batch) > (%(after)s, %(after_batch)s)
 ORDER BY w.recall_id, w.batch LIMIT %(limit)s

-- name: claim_deposit
-- R16: a batch that nobody deposited yet waits for the decision too. Nobody else's claim is ours.
INSERT INTO deposit (message_id, batch, recall_id) VALUES (%(message_id)s, %(batch)s, %(recall_id)s)
ON CONFLICT (message_id, batch) DO UPDATE SET recall_id = excluded.recall_id WHERE deposit.recall_id = excluded.recall_id

-- name: count_qualifying
-- Before anything is written: most recalls that fail, fail here. A second run finds what the first one marked, and whether all of it
-- still qualifies.
SELECT count(*), count(*) FILTER (WHERE facts & {PREPARED} <> 0) FROM copy
 WHERE message_id = %(message_id)s AND mailbox_id BETWEEN %(first)s AND %(last)s AND facts & {BLOCKING} = 0
   AND mailbox_id <> ALL (%(out_of_scope)s::int[]){MEMBERS}

-- name: mark
-- A copy that someone is reading this moment is locked: this waits, looks again, and leaves it out when it was read.
UPDATE copy SET facts = facts | {PREPARED}
 WHERE message_id = %(message_id)s AND mailbox_id BETWEEN %(first)s AND %(last)s AND facts & {BLOCKING} = 0
   AND mailbox_id <> ALL (%(out_of_scope)s::int[]){MEMBERS}

-- name: has_duplicates
SELECT FROM duplicate WHERE origin_id = %(message_id)s AND mailbox_id BETWEEN %(first)s AND %(last)s LIMIT 1

-- name: mark_duplicates
-- A statement of its own, which sees the copies that were being made while the first one waited.
UPDATE copy c SET facts = c.facts | {PREPARED}
  FROM duplicate d JOIN copy origin ON origin.mailbox_id = d.mailbox_id AND origin.message_id = d.origin_id
 WHERE d.origin_id = %(message_id)s AND d.mailbox_id BETWEEN %(first)s AND %(last)s AND origin.facts & {PREPARED} <> 0
   AND c.mailbox_id = d.mailbox_id AND c.message_id = d.message_id

-- name: lock
-- Phase two begins here: whoever still prepares is waited for, and whoever would begin to waits and then finds it over.
INSERT INTO prepared (recall_id, batch, attempt, message_id, first, last, prepared_at)
VALUES (%(recall_id)s, %(batch)s, %(attempt)s, %(message_id)s, %(first)s, %(last)s, %(now)s)
ON CONFLICT (recall_id, batch) DO UPDATE SET attempt = greatest(prepared.attempt, excluded.attempt)

-- name: newer
SELECT FROM prepared WHERE recall_id = %(recall_id)s AND batch = %(batch)s AND attempt > %(attempt)s

-- name: unmark
UPDATE copy SET facts = facts & ~{PREPARED}
 WHERE message_id = %(message_id)s AND mailbox_id BETWEEN %(first)s AND %(last)s AND facts & {PREPARED} <> 0{MEMBERS}

-- name: unmark_duplicates
-- Of those origins that bear no mark now: another batch's may lie in this range too, once mailboxes have moved.
UPDATE copy c SET facts = c.facts & ~{PREPARED}
  FROM duplicate d JOIN copy origin ON origin.mailbox_id = d.mailbox_id AND origin.message_id = d.origin_id
 WHERE origin.facts & {PREPARED} = 0 AND d.origin_id = %(message_id)s AND d.mailbox_id BETWEEN %(first)s AND %(last)s
   AND c.mailbox_id = d.mailbox_id AND c.message_id = d.message_id AND c.facts & {PREPARED} <> 0

-- name: unclaim_deposit
-- R16: what was not delivered will be.
DELETE FROM deposit WHERE message_id = %(message_id)s AND batch = %(batch)s AND recall_id = %(recall_id)s

-- name: end
DELETE FROM prepared WHERE recall_id = %(recall_id)s AND batch = %(batch)s

-- name: is_deposited
SELECT FROM deposit WHERE message_id = %(message_id)s AND batch = %(batch)s
