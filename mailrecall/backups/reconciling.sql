-- On the control database ------------------------------------------------------------------------------------------------

-- name: last_moves
-- The last move of each shard that was completed, and the last that was begun at all.
SELECT (SELECT coalesce(max(id), 0) FROM move WHERE state = 'done' AND %(shard)s IN (from_shard, to_shard)),
       (SELECT coalesce(max(id), 0) FROM move)

-- name: use_no_number_twice
-- Never backwards. Message ids stay even.
SELECT setval('message_id', greatest((SELECT last_value FROM message_id), (%(message_id)s::bigint + 1) / 2 * 2)),
       setval(pg_get_serial_sequence('recall', 'id'),
              greatest((SELECT coalesce(max(id), 0) FROM recall), %(recall_id)s, 1)),
       setval(pg_get_serial_sequence('account', 'id'),
              greatest((SELECT coalesce(max(id), 0) FROM account), %(mailbox_id)s, 1)),
       setval(pg_get_serial_sequence('move', 'id'), greatest((SELECT coalesce(max(id), 0) FROM move), %(move_id)s, 1)),
       setval('moved_batch', greatest((SELECT last_value FROM moved_batch), %(batch)s))

-- name: deposited
SELECT message_id, batch FROM delivery_batch
 WHERE shard = %(shard)s AND deposited_at >= %(since)s AND (message_id, batch) > (%(after)s, %(after_batch)s)
 ORDER BY message_id, batch LIMIT %(limit)s

-- name: withdrawn
SELECT b.recall_id, b.batch, d.message_id, d.first, d.last
  FROM recall_batch b JOIN recall r ON r.id = b.recall_id
  JOIN delivery_batch d ON d.message_id = r.message_id AND d.batch = b.batch
 WHERE b.shard = %(shard)s AND b.state = 'done' AND b.done_at >= %(since)s AND (b.recall_id, b.batch) > (%(after)s, %(after_batch)s)
   AND r.purged_at IS NULL AND NOT EXISTS (SELECT FROM undo u WHERE u.recall_id = b.recall_id)
 ORDER BY b.recall_id, b.batch LIMIT %(limit)s

-- name: filed
SELECT m.id, m.sender_account_id
  FROM message m JOIN account a ON a.id = m.sender_account_id
 WHERE a.shard = %(shard)s AND m.author_filed_at >= %(since)s AND (m.id, 0) > (%(after)s, %(after_batch)s)
 ORDER BY m.id LIMIT %(limit)s

-- name: deposit_again
UPDATE delivery_batch SET deposited_at = NULL WHERE message_id = %(message_id)s AND batch = %(batch)s

-- name: file_again
UPDATE message SET author_filed_at = NULL WHERE id = %(message_id)s

-- name: one_more_delivery
UPDATE message SET deliveries_left = deliveries_left + 1, delivered_at = NULL WHERE id = %(message_id)s

-- name: has_content
SELECT EXISTS (SELECT FROM message_content WHERE message_id = %(message_id)s)

-- name: store_content
INSERT INTO message_content (message_id, content) VALUES (%(message_id)s, %(content)s) ON CONFLICT DO NOTHING

-- name: withdraw_again
UPDATE recall_batch SET state = 'pending', counts = NULL, done_at = NULL WHERE recall_id = %(recall_id)s AND batch = %(batch)s

-- name: run_again
UPDATE recall SET state = 'running', result = NULL, settled_at = NULL, batches_left = batches_left + 1,
                  deadline_at = greatest(deadline_at, %(deadline_at)s)
 WHERE id = %(recall_id)s

-- name: known_messages
SELECT id FROM message WHERE id = ANY (%(ids)s)

-- name: known_recalls
SELECT id FROM recall WHERE id = ANY (%(ids)s)

-- On a shard ---------------------------------------------------------------------------------------------------------------

-- name: numbers
SELECT greatest((SELECT max(id) FROM message), (SELECT max(id) FROM body), (SELECT max(message_id) FROM deposit), 0),
       greatest((SELECT max(recall_id) FROM withdrawal), 0),
       greatest((SELECT max(mailbox_id) FROM copy), (SELECT max(mailbox_id) FROM folder), (SELECT max(mailbox_id) FROM draft), 0),
       (SELECT id FROM last_move),
       greatest((SELECT max(batch) FROM deposit WHERE batch >= {FIRST_MOVED}), (SELECT max(new_batch) FROM division), {FIRST_MOVED})

-- name: without_deposit
SELECT a.id, a.batch FROM unnest(%(ids)s::bigint[], %(batches)s::int[]) AS a (id, batch)
 WHERE NOT EXISTS (SELECT FROM deposit d WHERE d.message_id = a.id AND d.batch = a.batch)

-- name: without_withdrawal
-- Where no copy is left the purge has been (R26), or every one had gone before the recall: nothing has come back.
SELECT a.id, a.batch
  FROM unnest(%(ids)s::bigint[], %(batches)s::int[], %(messages)s::bigint[], %(firsts)s::int[], %(lasts)s::int[])
       AS a (id, batch, message_id, first, last)
 WHERE NOT EXISTS (SELECT FROM withdrawal w WHERE w.recall_id = a.id AND w.batch = a.batch)
   AND (NOT EXISTS (SELECT FROM deposit d WHERE d.message_id = a.message_id AND d.batch = a.batch)
        OR EXISTS (SELECT FROM copy c WHERE c.message_id = a.message_id AND c.mailbox_id BETWEEN a.first AND a.last))

-- name: without_author_copy
SELECT a.id, a.batch FROM unnest(%(ids)s::bigint[], %(batches)s::int[]) AS a (id, batch)
 WHERE NOT EXISTS (SELECT FROM copy c WHERE c.mailbox_id = a.batch AND c.message_id = a.id + 1)

-- name: body
SELECT content FROM body WHERE id = %(message_id)s

-- name: deposited_here
SELECT DISTINCT message_id FROM deposit WHERE message_id > %(after)s ORDER BY message_id LIMIT %(limit)s

-- name: withdrawn_here
SELECT DISTINCT recall_id FROM withdrawal WHERE recall_id > %(after)s ORDER BY recall_id LIMIT %(limit)s
