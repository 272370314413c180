-- The journal of moves, on the control database.

-- name: begin
INSERT INTO move (from_shard, to_shard, mailbox_ids, state, began_at)
VALUES (%(from_shard)s, %(to_shard)s, %(mailbox_ids)s, 'copying', %(now)s)
RETURNING id

-- name: leaving
UPDATE move SET state = 'leaving' WHERE id = %(move_id)s AND state = 'copying'

-- name: lock_leaving
SELECT FROM move WHERE id = %(move_id)s AND state = 'leaving' FOR UPDATE

-- name: end
UPDATE move SET state = %(state)s, ended_at = %(now)s WHERE id = %(move_id)s AND state IN ('copying', 'leaving')

-- name: is_done
SELECT state = 'done' FROM move WHERE id = %(move_id)s

-- name: elsewhere
SELECT EXISTS (SELECT FROM unnest(%(mailbox_ids)s::int[]) AS moving
                WHERE NOT EXISTS (SELECT FROM account a WHERE a.id = moving AND a.shard = %(shard)s))

-- name: unfinished
SELECT id, from_shard, to_shard, mailbox_ids, state FROM move WHERE state IN ('copying', 'leaving') ORDER BY id

-- name: has_unfinished
SELECT EXISTS (SELECT FROM move WHERE state IN ('copying', 'leaving'))

-- name: become_the_mover
SELECT pg_try_advisory_lock(1943, 0)

-- name: be_patient
SELECT set_config('lock_timeout', %(milliseconds)s, false)

-- name: stop_others
-- Whoever holds the placement still is waited for; whoever wants to waits until the move is over.
SELECT pg_advisory_lock(1942, 0)

-- name: let_others
SELECT pg_advisory_unlock(1942, 0)

-- name: stop_others_once
SELECT pg_advisory_xact_lock(1942, 0)

-- name: hold_off_records
-- A deposit that leaves everybody out (R16) misses nobody, and is done whoever has moved. Whether it is recorded before the
-- shard is looked at, or after the division, the new batch holds what the old one does, or gets a deposit of its own.
SELECT FROM delivery_batch WHERE message_id = %(message_id)s AND batch = %(batch)s FOR UPDATE

-- name: misplaced
-- Members of a batch that are on another shard by now.
SELECT d.shard, a.shard, array_agg(a.id ORDER BY a.id), cardinality(d.mailbox_ids)
  FROM delivery_batch d JOIN account a ON a.id = ANY (d.mailbox_ids)
 WHERE d.message_id = %(message_id)s AND d.batch = %(batch)s AND a.shard <> d.shard
   AND NOT EXISTS (SELECT FROM move WHERE state = 'leaving')
 GROUP BY 1, 2, 4
 ORDER BY 2

-- name: number
SELECT nextval('moved_batch')::int

-- name: claimed
-- On the batch's shard.
SELECT recall_id FROM deposit WHERE message_id = %(message_id)s AND batch = %(batch)s

-- name: unpurged
SELECT EXISTS (SELECT FROM recall WHERE id = %(recall_id)s AND purged_at IS NULL)

-- name: forget_preparation
-- R13: nobody is left there who waits for the decision. What it claimed stays claimed.
DELETE FROM prepared WHERE message_id = %(message_id)s AND batch = %(batch)s

-- name: claim_likewise
-- On the shard of those who moved: what was claimed of the batch they come from is claimed of theirs.
INSERT INTO deposit (message_id, batch, recall_id) VALUES (%(message_id)s, %(new_batch)s, %(recall_id)s) ON CONFLICT DO NOTHING

-- name: note_members
-- On the shard of those who moved: the copies that they will get there are the new batch's, whatever range they lie in.
INSERT INTO moved_copy (message_id, mailbox_id, batch)
SELECT %(message_id)s, mailbox_id, %(new_batch)s FROM unnest(%(mailbox_ids)s::int[]) AS mailbox_id
ON CONFLICT (message_id, mailbox_id) DO UPDATE SET batch = EXCLUDED.batch
