-- On the shard that mailboxes leave, and on the one that they reach.

-- name: be_patient
-- Whoever waits for these mailboxes must not wait for long because the move does.
SELECT set_config('lock_timeout', %(milliseconds)s, true)

-- name: take_mailboxes
SELECT pg_advisory_xact_lock(1940, mailbox_id) FROM unnest(%(mailbox_ids)s::int[]) AS mailbox_id ORDER BY mailbox_id

-- name: take_batches
SELECT pg_advisory_xact_lock(1940, 0)

-- name: take_part
-- A mover that was taken for dead finds that another one came after it.
UPDATE last_move SET id = %(move_id)s WHERE id <= %(move_id)s

-- name: received
-- Copies that were delivered, or put there by their owner: which, the control database knows. Authors' copies have odd ids.
SELECT DISTINCT message_id FROM copy WHERE mailbox_id = ANY (%(mailbox_ids)s) AND message_id %% 2 = 0

-- name: recalled
-- By the primary key of each recall that there is: the ledger has no index by mailbox.
SELECT DISTINCT r.recall_id
  FROM (SELECT DISTINCT recall_id FROM withdrawal) AS r
 WHERE EXISTS (SELECT FROM outcome o WHERE o.recall_id = r.recall_id AND o.mailbox_id = ANY (%(mailbox_ids)s))

-- name: columns
SELECT attname FROM pg_attribute
 WHERE attrelid = %(table)s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
 ORDER BY attnum

-- name: make_lists
CREATE TEMP TABLE dividing (message_id bigint, batch int, new_batch int, mailbox_ids int[]) ON COMMIT DROP

-- name: fill_dividing
COPY dividing (message_id, batch, new_batch, mailbox_ids) FROM STDIN

-- name: make_recalls
CREATE TEMP TABLE recalling (recall_id bigint, message_id bigint) ON COMMIT DROP

-- name: fill_recalling
COPY recalling (recall_id, message_id) FROM STDIN

-- name: moved_counts
-- What the ledger counts for those who leave, by the batch that they go on in.
SELECT w.recall_id, w.batch, d.new_batch, w.counts,
       (SELECT coalesce(jsonb_object_agg(via, outcomes), '{}')
          FROM (SELECT via, jsonb_object_agg({SLUG_CASE}, n) AS outcomes
                  FROM (SELECT o.via, o.outcome, count(*) AS n FROM outcome o
                         WHERE o.recall_id = w.recall_id AND o.batch = w.batch AND o.mailbox_id = ANY (d.mailbox_ids)
                         GROUP BY o.via, o.outcome) AS counted
                 GROUP BY via) AS per_via)
  FROM dividing d JOIN recalling r USING (message_id) JOIN withdrawal w ON w.recall_id = r.recall_id AND w.batch = d.batch

-- name: correct_counts
UPDATE withdrawal SET counts = %(counts)s WHERE recall_id = %(recall_id)s AND batch = %(batch)s

-- name: counts_of
SELECT counts FROM withdrawal WHERE recall_id = %(recall_id)s AND batch = %(batch)s

-- name: body_ids
SELECT DISTINCT body_id FROM message WHERE id = ANY (%(message_ids)s)

-- name: known_bodies
SELECT id FROM body WHERE id = ANY (%(body_ids)s)

-- name: body
SELECT content FROM body WHERE id = %(body_id)s

-- name: store_body
INSERT INTO body (id, content) VALUES (%(body_id)s, %(content)s) ON CONFLICT DO NOTHING

-- name: withdrawn_duplicates
SELECT DISTINCT message_id FROM withdrawn_duplicate WHERE recall_id = ANY (%(recall_ids)s) AND mailbox_id = ANY (%(mailbox_ids)s)

-- name: all_copies
SELECT DISTINCT message_id FROM copy WHERE mailbox_id = ANY (%(mailbox_ids)s)

-- name: known_messages
SELECT id FROM message WHERE id = ANY (%(message_ids)s)

-- name: drop_authors_messages
-- Authors' copies have odd ids, and under one id first versions of a draft, then what was sent: what this shard knows of them may be
-- out of date. Each is one mailbox's, which nobody uses here now. Returned: the contents that only drafts can have had.
WITH dropped AS (
    DELETE FROM message WHERE id = ANY (%(message_ids)s) AND id %% 2 = 1 RETURNING id, body_id
)
SELECT body_id FROM dropped WHERE body_id <> id - 1

-- name: drop_bodies
DELETE FROM body b WHERE b.id = ANY (%(body_ids)s) AND NOT EXISTS (SELECT FROM message m WHERE m.body_id = b.id)

-- name: note_moved_copies
INSERT INTO moved_copy (message_id, mailbox_id, batch)
SELECT d.message_id, mailbox_id, d.new_batch
  FROM division d, unnest(d.mailbox_ids) AS mailbox_id
 WHERE d.move_id = %(move_id)s
ON CONFLICT (message_id, mailbox_id) DO UPDATE SET batch = EXCLUDED.batch

-- name: note_divisions
INSERT INTO division (move_id, message_id, batch, new_batch, mailbox_ids)
VALUES (%(move_id)s, %(message_id)s, %(batch)s, %(new_batch)s, %(mailbox_ids)s)

-- name: divisions
SELECT message_id, batch, new_batch, mailbox_ids FROM division WHERE move_id = %(move_id)s ORDER BY message_id, batch

-- name: forget_divisions
DELETE FROM division WHERE move_id = %(move_id)s

-- name: arriving
SELECT mailbox_id FROM absence WHERE move_id = %(move_id)s ORDER BY mailbox_id

-- name: drop_deposits
-- Of batches that have come to nothing; their numbers are never given again.
DELETE FROM deposit d USING division v
 WHERE v.move_id = %(move_id)s AND d.message_id = v.message_id AND d.batch = v.new_batch

-- name: drop_withdrawals
DELETE FROM withdrawal w USING division v WHERE v.move_id = %(move_id)s AND w.batch = v.new_batch

-- name: be_absent
INSERT INTO absence (mailbox_id, move_id) SELECT mailbox_id, %(move_id)s FROM unnest(%(mailbox_ids)s::int[]) AS mailbox_id
ON CONFLICT (mailbox_id) DO UPDATE SET move_id = EXCLUDED.move_id

-- name: be_present
DELETE FROM absence WHERE mailbox_id = ANY (%(mailbox_ids)s) AND move_id = %(move_id)s

-- name: has_left
SELECT EXISTS (SELECT FROM absence WHERE mailbox_id = ANY (%(mailbox_ids)s) AND move_id = %(move_id)s)

-- name: clear_copies
DELETE FROM copy WHERE mailbox_id = ANY (%(mailbox_ids)s)

-- name: clear_folders
DELETE FROM folder WHERE mailbox_id = ANY (%(mailbox_ids)s)

-- name: clear_duplicates
DELETE FROM duplicate WHERE mailbox_id = ANY (%(mailbox_ids)s)

-- name: clear_drafts
DELETE FROM draft WHERE mailbox_id = ANY (%(mailbox_ids)s)

-- name: clear_moved_copies
DELETE FROM moved_copy WHERE mailbox_id = ANY (%(mailbox_ids)s)

-- name: clear_forwards
DELETE FROM forward WHERE message_id = ANY (%(message_ids)s) AND mailbox_id = ANY (%(mailbox_ids)s)

-- name: clear_withdrawn_duplicates
DELETE FROM withdrawn_duplicate WHERE recall_id = ANY (%(recall_ids)s) AND mailbox_id = ANY (%(mailbox_ids)s)

-- name: clear_outcomes
DELETE FROM outcome WHERE recall_id = ANY (%(recall_ids)s) AND mailbox_id = ANY (%(mailbox_ids)s)

-- name: batches_of
-- On the control database: the delivery batches of the leaving shard that hold any of the mailboxes, each with a number for
-- those who leave, if they leave now: there are two thousand million of them and no more.
SELECT d.message_id, d.batch, CASE WHEN %(numbered)s THEN nextval('moved_batch')::int ELSE 0 END,
       ARRAY(SELECT unnest(d.mailbox_ids) INTERSECT SELECT unnest(%(mailbox_ids)s::int[]) ORDER BY 1)
  FROM delivery_batch d
 WHERE d.shard = %(shard)s AND d.mailbox_ids && %(mailbox_ids)s::int[]
   AND (d.message_id = ANY (%(message_ids)s)
        OR d.message_id IN (SELECT message_id FROM recall WHERE id = ANY (%(recall_ids)s)))

-- name: recalls_of
SELECT id, message_id FROM recall WHERE message_id = ANY (%(message_ids)s)

-- name: undecided
-- All-or-nothing recalls (R13) and undos (R26) that are under way, of which nothing may move: what they have prepared or put back
-- stays with the batch where it lies.
SELECT EXISTS (SELECT FROM recall WHERE message_id = ANY (%(message_ids)s) AND state <> 'settled'
                                    AND policy ->> 'group_mode' = 'all_or_nothing')
    OR EXISTS (SELECT FROM undo u JOIN recall r ON r.id = u.recall_id
                WHERE r.message_id = ANY (%(message_ids)s) AND u.restored_at IS NULL)

-- name: waits_for_decision
-- On the leaving shard: what a decision has not been carried out on yet.
SELECT EXISTS (SELECT FROM copy WHERE mailbox_id = ANY (%(mailbox_ids)s) AND facts & {PREPARED} <> 0)
