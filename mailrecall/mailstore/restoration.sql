-- name: claim
-- A second run of the same task waits here for the first one's transaction, and then returns what it wrote.
INSERT INTO restoration (recall_id, batch, done_at) VALUES (%(recall_id)s, %(batch)s, %(now)s) ON CONFLICT DO NOTHING

-- name: counts
SELECT restored, gone FROM restoration WHERE recall_id = %(recall_id)s AND batch = %(batch)s FOR UPDATE

-- name: forestall
-- A withdrawal that was given up and may still be on its way finds its place taken, whichever attempt it belongs to (R13), and
-- withdraws nothing. One that came first is waited for, and what it took is put back.
INSERT INTO withdrawal (recall_id, batch, attempt, counts, done_at)
VALUES (%(recall_id)s, %(batch)s, %(attempt)s, '{}', %(now)s)
ON CONFLICT (recall_id, batch) DO UPDATE SET attempt = excluded.attempt, counts = excluded.counts, done_at = excluded.done_at
 WHERE withdrawal.attempt < excluded.attempt

-- name: kept_out
-- R16: the deposit knew of the recall and left its copies out, and no withdrawal came to write that down.
SELECT FROM deposit WHERE message_id = %(message_id)s AND batch = %(batch)s AND recall_id = %(recall_id)s

-- name: write_down_kept_out
-- R1: recipients out of scope have got their copy.
INSERT INTO outcome (recall_id, mailbox_id, outcome, via, batch)
SELECT %(recall_id)s, mailbox_id, CASE WHEN mailbox_id = ANY (%(out_of_scope)s::int[]) THEN {EXTERNAL} ELSE {RECALLED} END, via,
       %(batch)s
  FROM unnest(%(mailbox_ids)s::int[], %(via)s::smallint[]) AS r (mailbox_id, via)
ON CONFLICT (recall_id, mailbox_id) DO UPDATE SET outcome = excluded.outcome

-- name: bring_in
-- R25: nothing is left out any more: what lies there from now on is what a recall would find.
UPDATE deposit SET recall_id = NULL WHERE message_id = %(message_id)s AND batch = %(batch)s AND recall_id = %(recall_id)s

-- name: has_message
SELECT EXISTS (SELECT FROM message WHERE id = %(message_id)s)

-- name: put_back
-- Unread, where it lay, as it was marked. What was recalled before it was delivered (R16) never lay anywhere: it comes in now.
-- Without a UID: to an IMAP client it is a message that has just arrived (RFC 3501 section 2.3.1.1 forbids the old number).
INSERT INTO copy (mailbox_id, folder, via, message_id, flags)
SELECT mailbox_id, coalesce(folder, {inbox}), via, %(message_id)s, coalesce(flags, 0) & ~{seen}::smallint
  FROM outcome
 WHERE recall_id = %(recall_id)s AND mailbox_id BETWEEN %(first)s AND %(last)s AND batch = %(batch)s AND outcome = {RECALLED}
   AND mailbox_id <> ALL (%(closed)s::int[])
 ORDER BY mailbox_id
ON CONFLICT DO NOTHING

-- name: put_back_duplicates
WITH put_back AS (
    INSERT INTO copy (mailbox_id, folder, via, message_id, flags)
    SELECT mailbox_id, folder, 0, message_id, flags & ~{seen}::smallint
      FROM withdrawn_duplicate
     WHERE recall_id = %(recall_id)s AND batch = %(batch)s AND mailbox_id <> ALL (%(closed)s::int[])
     ORDER BY mailbox_id, message_id
    ON CONFLICT DO NOTHING
)
INSERT INTO duplicate (mailbox_id, message_id, origin_id)
SELECT mailbox_id, message_id, origin_id
  FROM withdrawn_duplicate
 WHERE recall_id = %(recall_id)s AND batch = %(batch)s AND mailbox_id <> ALL (%(closed)s::int[])
ON CONFLICT DO NOTHING

-- name: take_away_copied_notices
WITH dropped AS (
    DELETE FROM duplicate
     WHERE origin_id = %(notice_id)s AND mailbox_id BETWEEN %(first)s AND %(last)s AND mailbox_id <> ALL (%(closed)s::int[])
    RETURNING mailbox_id, message_id
)
DELETE FROM copy c USING dropped d WHERE c.mailbox_id = d.mailbox_id AND c.message_id = d.message_id

-- name: take_away_notices
-- R17: what was left in the copies' place goes, wherever its owner moved it.
DELETE FROM copy
 WHERE message_id = %(notice_id)s AND mailbox_id BETWEEN %(first)s AND %(last)s AND mailbox_id <> ALL (%(closed)s::int[])

-- name: sum_up
-- From the ledger, not from what was inserted: the same however often a run began before this one.
UPDATE restoration
   SET (restored, gone) = (SELECT count(*) FILTER (WHERE mailbox_id <> ALL (%(closed)s::int[])),
                                  count(*) FILTER (WHERE mailbox_id = ANY (%(closed)s::int[]))
                             FROM outcome
                            WHERE recall_id = %(recall_id)s AND mailbox_id BETWEEN %(first)s AND %(last)s
                              AND batch = %(batch)s AND outcome = {RECALLED})
 WHERE recall_id = %(recall_id)s AND batch = %(batch)s
RETURNING restored, gone
