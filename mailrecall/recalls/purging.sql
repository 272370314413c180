-- name: ripe
-- Recalls whose copies can be put back no longer: not while an undo is under way, nor while a shard has still to say what it did,
-- nor before the report, which reads the ledger.
SELECT r.id
  FROM recall r
 WHERE r.state = 'settled' AND r.purged_at IS NULL
   AND r.settled_at + (r.policy ->> 'retention')::int * interval '1 second' < %(now)s
   AND NOT EXISTS (SELECT FROM undo u WHERE u.recall_id = r.id AND u.restored_at IS NULL)
   AND NOT EXISTS (SELECT FROM recall_batch b WHERE b.recall_id = r.id AND b.state = 'assumed')
   AND NOT EXISTS (SELECT FROM outbox o WHERE o.task = 'reports.summarise' AND (o.args ->> 'recall_id')::bigint = r.id)
 ORDER BY r.settled_at
 LIMIT %(limit)s

-- name: lock
SELECT FROM recall WHERE id = %(recall_id)s FOR UPDATE

-- name: begin
-- Looked at again under the lock: an undo, or a repeat (R12), may have come first. From here on both are refused.
UPDATE recall r
   SET purged_at = %(now)s, purge_due_at = %(now)s
 WHERE r.id = %(recall_id)s AND r.state = 'settled' AND r.purged_at IS NULL
   AND r.settled_at + (r.policy ->> 'retention')::int * interval '1 second' < %(now)s
   AND NOT EXISTS (SELECT FROM undo u WHERE u.recall_id = r.id AND u.restored_at IS NULL)
   AND NOT EXISTS (SELECT FROM recall_batch b WHERE b.recall_id = r.id AND b.state = 'assumed')
   AND NOT EXISTS (SELECT FROM outbox o WHERE o.task = 'reports.summarise' AND (o.args ->> 'recall_id')::bigint = r.id)
RETURNING r.organisation_id, r.message_id

-- name: due
-- On the shards that its batches are on, and on those that mailboxes left, or nearly reached, since there was such a message: what
-- they name stays there.
SELECT r.id, r.message_id, r.notice_message_id, m.delivered_at IS NOT NULL,
       ARRAY(SELECT b.shard FROM recall_batch b WHERE b.recall_id = r.id
              UNION
             SELECT shard FROM move v, unnest(ARRAY[v.from_shard, v.to_shard]) AS shard
              WHERE v.ended_at IS NULL OR v.ended_at >= m.accepted_at
              ORDER BY 1)
  FROM recall r JOIN message m ON m.id = r.message_id
 WHERE r.purge_due_at <= %(now)s
 ORDER BY r.purge_due_at
 LIMIT %(limit)s

-- name: hold_off_holds
-- A legal hold that was acknowledged is obeyed by every step that begins later: placing one waits for steps under way.
SELECT pg_advisory_xact_lock_shared(7_305_418)

-- name: held
SELECT account_id FROM legal_hold ORDER BY account_id

-- name: hold_off_recalls
-- A recall that begins meanwhile may come to need the content that is being purged for the one before it: it waits.
SELECT FROM message WHERE id = %(message_id)s FOR KEY SHARE

-- name: recalls_of
-- A statement of its own: it sees what it has waited for.
SELECT id FROM recall WHERE message_id = %(message_id)s

-- name: kept_out_of
-- Where the recall gave up on the shard, nobody wrote down whom the deposit had left out.
SELECT EXISTS (SELECT FROM recall_batch b JOIN recall r ON r.id = b.recall_id
                 JOIN delivery_batch d ON d.message_id = r.message_id AND d.batch = b.batch
                WHERE b.recall_id = %(recall_id)s AND b.shard = %(shard)s AND b.state = 'unreachable'
                  AND d.mailbox_ids && %(mailbox_ids)s::int[])

-- name: last_move
-- The number of the last move, and whether none is under way.
SELECT coalesce(max(id), 0), NOT EXISTS (SELECT FROM move WHERE ended_at IS NULL) FROM move

-- name: done
UPDATE recall SET purge_due_at = %(again_at)s WHERE id = %(recall_id)s
