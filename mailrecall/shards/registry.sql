-- name: shards
SELECT s.id, s.takes_new,
       (SELECT count(*) FROM account a WHERE a.shard = s.id AND a.closed_at IS NULL),
       (SELECT count(*) FROM account a WHERE a.shard = s.id AND a.closed_at IS NOT NULL),
       (SELECT count(*) FROM outbox o WHERE o.args ->> 'shard' = s.id::text)
  FROM shard s
 ORDER BY s.id

-- name: lock_shard
SELECT takes_new FROM shard WHERE id = %(shard)s FOR UPDATE

-- name: register
INSERT INTO shard (id, takes_new) VALUES (%(shard)s, true) ON CONFLICT (id) DO UPDATE SET takes_new = true

-- name: close
UPDATE shard SET takes_new = false WHERE id = %(shard)s

-- name: others_open
SELECT EXISTS (SELECT FROM shard WHERE takes_new AND id <> %(shard)s)

-- name: next_mailboxes
-- Closed ones too: what lies in them can still be recalled, and tells to whom the message went.
SELECT id FROM account WHERE shard = %(shard)s AND id > %(after)s ORDER BY id LIMIT %(limit)s

-- name: count_mailboxes
SELECT count(*) FROM account WHERE shard = %(shard)s

-- name: left_behind
-- Batches of a shard that no mailbox is on any more: those whose members moved without a trace of the message. Of what was given
-- up the shard may have kept copies out (R16), which an undo brings in, or a repeat may look for them. What was recalled has left
-- no trace either once it was purged (R26); who looks at that recall, or asks for another after an undo, would ask this shard.
SELECT d.message_id, d.batch FROM delivery_batch d
 WHERE d.shard = %(shard)s AND (d.message_id, d.batch) > (%(message_id)s, %(batch)s)
 ORDER BY d.message_id, d.batch LIMIT %(limit)s

-- name: leaves_some_behind
-- The same for a shard on which there are mailboxes or not: whether `mend` would find somebody.
SELECT EXISTS (SELECT FROM delivery_batch d JOIN account a ON a.id = ANY (d.mailbox_ids)
                WHERE d.shard = %(shard)s AND a.shard <> d.shard)

-- name: in_use
SELECT (SELECT count(*) FROM account WHERE shard = %(shard)s),
       (SELECT count(*) FROM outbox WHERE args ->> 'shard' = %(shard)s::text),
       (SELECT count(*) FROM recall_batch b JOIN recall r ON r.id = b.recall_id
         WHERE b.shard = %(shard)s AND (r.state <> 'settled' OR r.report_message_id IS NULL))

-- name: copies
-- On a shard: how much there is to move.
SELECT mailbox_id, count(*) FROM copy WHERE mailbox_id = ANY (%(mailbox_ids)s) GROUP BY mailbox_id
