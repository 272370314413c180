-- name: claim
-- A second run of the same task waits here for the first one's transaction, and then returns what it wrote.
INSERT INTO restoration (recall_id, batch, done_at) VALUES (%(recall_id)s, %(batch)s, %(now)s) ON CONFLICT DO NOTHING

-- name: counts
SELECT restored, gone FROM restoration WHERE recall_id = %(recall_id)s AND batch = %(batch)s FOR UPDATE

-- name: forestall
-- A withdrawal that was given up and may still be on its way finds its place taken, and withdraws nothing. One that came first
-- is waited for, and what it took is put back.
INSERT INTO withdrawal (recall_id, batch, counts, done_at) VALUES (%(recall_id)s, %(batch)s, '{}', %(now)s)
ON CONFLICT DO NOTHING

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
