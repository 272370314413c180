-- All on the control database, in the transaction that says where the mailboxes are from now on.

-- name: make_list
CREATE TEMP TABLE leaving (message_id bigint, batch int, new_batch int, shard smallint, mailbox_id int) ON COMMIT DROP

-- name: fill_list
COPY leaving (message_id, batch, new_batch, shard, mailbox_id) FROM STDIN

-- name: look_at_list
ANALYZE leaving

-- name: lock_messages
SELECT FROM message WHERE id = ANY (%(message_ids)s) ORDER BY id FOR NO KEY UPDATE

-- name: lock_recalls
SELECT r.id FROM recall r WHERE r.message_id IN (SELECT message_id FROM leaving) ORDER BY r.id FOR UPDATE

-- name: lock_batches
-- Before it is looked at which deposits are due: one that is recorded in between would be counted as still to come for ever.
SELECT FROM delivery_batch
 WHERE (message_id, batch) IN (SELECT message_id, batch FROM leaving) ORDER BY message_id, batch FOR UPDATE

-- name: deposits_due
-- Batches whose deposit is still in the outbox. Of what is recalled before it ever goes out nothing is (R30).
SELECT DISTINCT l.message_id, l.batch
  FROM leaving l JOIN delivery_batch d USING (message_id, batch)
 WHERE d.deposited_at IS NULL
   AND EXISTS (SELECT FROM outbox o
                WHERE o.task = 'delivery.deposit' AND o.args ->> 'message_id' = l.message_id::text
                  AND o.args ->> 'batch' = l.batch::text)

-- name: new_batches
INSERT INTO delivery_batch (message_id, batch, shard, mailbox_ids, via, kinship, deposited_at)
SELECT d.message_id, l.new_batch, l.shard, array_agg(one.id ORDER BY one.id), array_agg(one.via ORDER BY one.id),
       array_agg(one.kinship ORDER BY one.id), d.deposited_at
  FROM (SELECT DISTINCT message_id, batch FROM leaving) AS old
  JOIN delivery_batch d USING (message_id, batch)
 CROSS JOIN LATERAL unnest(d.mailbox_ids, d.via, d.kinship) AS one (id, via, kinship)
  JOIN leaving l ON l.message_id = d.message_id AND l.batch = d.batch AND l.mailbox_id = one.id
 GROUP BY d.message_id, l.new_batch, l.shard, d.deposited_at

-- name: shrink_batches
UPDATE delivery_batch d
   SET mailbox_ids = kept.mailbox_ids, via = kept.via, kinship = kept.kinship
  FROM (SELECT d.message_id, d.batch,
               coalesce(array_agg(one.id ORDER BY one.id) FILTER (WHERE l.mailbox_id IS NULL), '{}') AS mailbox_ids,
               coalesce(array_agg(one.via ORDER BY one.id) FILTER (WHERE l.mailbox_id IS NULL), '{}') AS via,
               coalesce(array_agg(one.kinship ORDER BY one.id) FILTER (WHERE l.mailbox_id IS NULL), '{}') AS kinship
          FROM (SELECT DISTINCT message_id, batch FROM leaving) AS old
          JOIN delivery_batch d USING (message_id, batch)
         CROSS JOIN LATERAL unnest(d.mailbox_ids, d.via, d.kinship) AS one (id, via, kinship)
          LEFT JOIN leaving l ON l.message_id = d.message_id AND l.batch = d.batch AND l.mailbox_id = one.id
         GROUP BY d.message_id, d.batch) AS kept
 WHERE d.message_id = kept.message_id AND d.batch = kept.batch

-- name: recall_batches
SELECT b.recall_id, r.message_id, b.batch, b.state, b.counts, r.policy,
       (SELECT array_agg(DISTINCT l.new_batch) FROM leaving l WHERE l.message_id = r.message_id AND l.batch = b.batch)
  FROM recall_batch b JOIN recall r ON r.id = b.recall_id
 WHERE (r.message_id, b.batch) IN (SELECT message_id, batch FROM leaving)
 ORDER BY b.recall_id, b.batch
   FOR UPDATE OF b

-- name: new_recall_batch
INSERT INTO recall_batch
SELECT (jsonb_populate_record(old, jsonb_build_object('batch', d.batch, 'shard', d.shard, 'recipients', cardinality(d.mailbox_ids),
                                                      'counts', %(counts)s::jsonb))).*
  FROM recall_batch old, delivery_batch d
 WHERE old.recall_id = %(recall_id)s AND old.batch = %(batch)s
   AND d.message_id = %(message_id)s AND d.batch = %(new_batch)s
RETURNING shard

-- name: shrink_recall_batch
UPDATE recall_batch b SET counts = %(counts)s, recipients = cardinality(d.mailbox_ids)
  FROM delivery_batch d
 WHERE b.recall_id = %(recall_id)s AND b.batch = %(batch)s AND d.message_id = %(message_id)s AND d.batch = b.batch

-- name: count_given_up
-- As `give_up_batches` and `all_or_nothing` counted them.
SELECT coalesce(jsonb_object_agg(via, outcomes), '{}')
  FROM (SELECT via, jsonb_object_agg(outcome, n) AS outcomes
          FROM (SELECT v.via, count(*) AS n,
                       CASE WHEN v.kinship > %(furthest)s AND %(outcome)s <> 'unreachable' THEN 'external'
                            ELSE %(outcome)s END AS outcome
                  FROM delivery_batch d, unnest(d.via, d.kinship) AS v (via, kinship)
                 WHERE d.message_id = %(message_id)s AND d.batch = %(batch)s
                 GROUP BY 1, 3) AS counted
         GROUP BY via) AS per_via

-- name: new_undo_batches
-- R26: what is yet to be put back of the old batch is so of the new one.
INSERT INTO undo_batch (recall_id, batch, shard)
SELECT DISTINCT u.recall_id, l.new_batch, l.shard
  FROM leaving l JOIN recall r ON r.message_id = l.message_id
  JOIN undo_batch u ON u.recall_id = r.id AND u.batch = l.batch
 WHERE u.done_at IS NULL
RETURNING recall_id, batch, shard

-- name: drop_emptied_undo_batches
-- Their work goes with them.
WITH dropped AS (
    DELETE FROM undo_batch u USING recall r, delivery_batch d
     WHERE r.id = u.recall_id AND d.message_id = r.message_id AND d.batch = u.batch AND d.mailbox_ids = '{}' AND u.done_at IS NULL
       AND (d.message_id, d.batch) IN (SELECT message_id, batch FROM leaving)
    RETURNING u.recall_id, u.batch
), work AS (
    DELETE FROM outbox o USING dropped
     WHERE o.task = 'recall.restore' AND o.args ->> 'recall_id' = dropped.recall_id::text AND o.args ->> 'batch' = dropped.batch::text
)
SELECT recall_id FROM dropped

-- name: count_undo_batches
UPDATE undo SET batches_left = batches_left + %(more)s WHERE recall_id = %(recall_id)s

-- name: emptied
SELECT d.message_id, d.batch FROM delivery_batch d
 WHERE (d.message_id, d.batch) IN (SELECT message_id, batch FROM leaving) AND d.mailbox_ids = '{}'

-- name: drop_emptied
-- Nobody is left in it: its work goes with it.
WITH dropped AS (
    DELETE FROM delivery_batch WHERE message_id = %(message_id)s AND batch = %(batch)s
), deposits AS (
    DELETE FROM outbox WHERE task = 'delivery.deposit' AND args ->> 'message_id' = %(message_id)s::text
       AND args ->> 'batch' = %(batch)s::text
), withdrawals AS (
    DELETE FROM outbox o USING recall r
     WHERE o.task IN ('recall.prepare', 'recall.withdraw') AND r.message_id = %(message_id)s AND o.args ->> 'recall_id' = r.id::text
       AND o.args ->> 'batch' = %(batch)s::text
)
DELETE FROM recall_batch b USING recall r
 WHERE r.message_id = %(message_id)s AND b.recall_id = r.id AND b.batch = %(batch)s

-- name: count_deliveries
UPDATE message SET deliveries_left = deliveries_left + %(more)s WHERE id = %(message_id)s

-- name: count_batches
UPDATE recall SET batches_left = batches_left + %(more)s WHERE id = %(recall_id)s

-- name: place
UPDATE account SET shard = %(shard)s WHERE id = ANY (%(mailbox_ids)s)
