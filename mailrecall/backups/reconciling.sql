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

-- name: undone
-- Not where a later recall of the message was purged: what had come back is to be gone.
SELECT u.recall_id, u.batch, d.message_id
  FROM undo_batch u JOIN recall r ON r.id = u.recall_id
  JOIN delivery_batch d ON d.message_id = r.message_id AND d.batch = u.batch
 WHERE u.shard = %(shard)s AND u.done_at >= %(since)s AND (u.recall_id, u.batch) > (%(after)s, %(after_batch)s)
   AND NOT EXISTS (SELECT FROM recall l
                    WHERE l.message_id = r.message_id AND l.id > r.id AND l.purged_at IS NOT NULL AND l.undone_at IS NULL)
 ORDER BY u.recall_id, u.batch LIMIT %(limit)s

-- name: being_undone
-- All or nothing: the shard may have forgotten that it carried the decision out, which hides the copies until it has.
SELECT b.recall_id, b.batch
  FROM recall_batch b JOIN undo u ON u.recall_id = b.recall_id
 WHERE b.shard = %(shard)s AND b.state = 'done' AND b.done_at >= %(since)s AND (b.recall_id, b.batch) > (%(after)s, %(after_batch)s)
   AND EXISTS (SELECT FROM decision d WHERE d.recall_id = b.recall_id)
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

-- name: restore_again
WITH reopened AS (
    UPDATE undo_batch SET restored = NULL, gone = NULL, done_at = NULL WHERE recall_id = %(recall_id)s AND batch = %(batch)s
)
UPDATE undo SET batches_left = batches_left + 1, restored_at = NULL WHERE recall_id = %(recall_id)s

-- name: undo_again
-- A later recall of the message is the one there is (R12). The purge comes again once all is back.
UPDATE recall r
   SET undone_at = CASE WHEN EXISTS (SELECT FROM recall l WHERE l.message_id = r.message_id AND l.id <> r.id AND l.undone_at IS NULL)
                        THEN r.undone_at END,
       purged_at = NULL, purge_due_at = NULL
 WHERE r.id = %(recall_id)s

-- name: recalled_later
-- Asked for when all was back: the shard has forgotten these, too, and withdraws them when it is back again.
SELECT b.recall_id, b.shard
  FROM recall r JOIN recall l ON l.message_id = r.message_id AND l.id > r.id
  JOIN recall_batch b ON b.recall_id = l.id AND b.batch = %(batch)s
 WHERE r.id = %(recall_id)s AND b.state = 'done' AND l.purged_at IS NULL
   AND NOT EXISTS (SELECT FROM undo u WHERE u.recall_id = l.id)

-- name: known_messages
SELECT id FROM message WHERE id = ANY (%(ids)s)

-- name: known_recalls
SELECT id FROM recall WHERE id = ANY (%(ids)s)

-- name: known_undos
-- Of recalls that are forgotten altogether nothing is missing, where they were undone.
SELECT u.id FROM unnest(%(ids)s::bigint[]) AS u (id)
 WHERE EXISTS (SELECT FROM undo WHERE recall_id = u.id) OR NOT EXISTS (SELECT FROM recall r WHERE r.id = u.id)

-- name: waited_for
-- R13: what some work will still carry out, or withdraw again. Not what was given up: that work may be done.
SELECT p.id, p.batch
  FROM unnest(%(ids)s::bigint[], %(batches)s::int[], %(attempts)s::int[]) AS p (id, batch, attempt)
  JOIN recall r ON r.id = p.id AND r.attempt >= p.attempt
  JOIN recall_batch b ON b.recall_id = p.id AND b.batch = p.batch AND b.state <> 'unreachable'

-- On a shard ---------------------------------------------------------------------------------------------------------------

-- name: numbers
SELECT greatest((SELECT max(id) FROM message), (SELECT max(id) FROM body), (SELECT max(message_id) FROM deposit), 0),
       greatest((SELECT max(recall_id) FROM withdrawal), (SELECT max(recall_id) FROM restoration),
                (SELECT max(recall_id) FROM prepared), (SELECT max(recall_id) FROM deposit), 0),
       greatest((SELECT max(mailbox_id) FROM copy), (SELECT max(mailbox_id) FROM folder), (SELECT max(mailbox_id) FROM draft), 0),
       (SELECT id FROM last_move),
       greatest((SELECT max(batch) FROM deposit WHERE batch >= {FIRST_MOVED}), (SELECT max(new_batch) FROM division), {FIRST_MOVED})

-- name: without_deposit
-- What a preparation claimed (R13) was not deposited.
SELECT a.id, a.batch FROM unnest(%(ids)s::bigint[], %(batches)s::int[]) AS a (id, batch)
 WHERE NOT EXISTS (SELECT FROM deposit d
                    WHERE d.message_id = a.id AND d.batch = a.batch
                      AND NOT EXISTS (SELECT FROM prepared p WHERE p.recall_id = d.recall_id AND p.batch = d.batch))

-- name: without_withdrawal
-- Where no copy is left, and nothing waits for a decision, the purge has been (R26), or every one had gone before the recall:
-- nothing has come back. What was kept out (R16) has yet to be written down, unless a purge took its message.
SELECT a.id, a.batch
  FROM unnest(%(ids)s::bigint[], %(batches)s::int[], %(messages)s::bigint[], %(firsts)s::int[], %(lasts)s::int[])
       AS a (id, batch, message_id, first, last)
 WHERE NOT EXISTS (SELECT FROM withdrawal w WHERE w.recall_id = a.id AND w.batch = a.batch)
   AND (NOT EXISTS (SELECT FROM deposit d WHERE d.message_id = a.message_id AND d.batch = a.batch)
        OR EXISTS (SELECT FROM copy c WHERE c.message_id = a.message_id AND c.mailbox_id BETWEEN a.first AND a.last)
        OR EXISTS (SELECT FROM prepared p WHERE p.recall_id = a.id AND p.batch = a.batch)
        OR EXISTS (SELECT FROM deposit d JOIN message m ON m.id = d.message_id
                    WHERE d.message_id = a.message_id AND d.batch = a.batch AND d.recall_id = a.id))

-- name: without_restoration
-- Where the shard knows of no withdrawal either, the copies are where they were; or they are prepared, and go before they come back;
-- or they were kept out (R16), or will be, for a recall whose other batches are put back again is there again for their deposits.
SELECT a.id, a.batch
  FROM unnest(%(ids)s::bigint[], %(batches)s::int[], %(messages)s::bigint[]) AS a (id, batch, message_id)
 WHERE NOT EXISTS (SELECT FROM restoration r WHERE r.recall_id = a.id AND r.batch = a.batch)
   AND (EXISTS (SELECT FROM withdrawal w WHERE w.recall_id = a.id AND w.batch = a.batch)
        OR EXISTS (SELECT FROM prepared p WHERE p.recall_id = a.id AND p.batch = a.batch)
        OR EXISTS (SELECT FROM deposit d WHERE d.message_id = a.message_id AND d.batch = a.batch AND d.recall_id = a.id)
        OR NOT EXISTS (SELECT FROM deposit d WHERE d.message_id = a.message_id AND d.batch = a.batch))

-- name: still_prepared
SELECT a.id, a.batch FROM unnest(%(ids)s::bigint[], %(batches)s::int[]) AS a (id, batch)
 WHERE EXISTS (SELECT FROM prepared p WHERE p.recall_id = a.id AND p.batch = a.batch)
   AND NOT EXISTS (SELECT FROM withdrawal w WHERE w.recall_id = a.id AND w.batch = a.batch)

-- name: without_author_copy
SELECT a.id, a.batch FROM unnest(%(ids)s::bigint[], %(batches)s::int[]) AS a (id, batch)
 WHERE NOT EXISTS (SELECT FROM copy c WHERE c.mailbox_id = a.batch AND c.message_id = a.id + 1)

-- name: body
SELECT content FROM body WHERE id = %(message_id)s

-- name: deposited_here
SELECT DISTINCT message_id FROM deposit WHERE message_id > %(after)s ORDER BY message_id LIMIT %(limit)s

-- name: withdrawn_here
-- Those that took something, and have not put it back since.
SELECT DISTINCT w.recall_id FROM withdrawal w
 WHERE w.recall_id > %(after)s AND w.counts @? '$.*.recalled'
   AND NOT EXISTS (SELECT FROM restoration r WHERE r.recall_id = w.recall_id AND r.batch = w.batch)
 ORDER BY w.recall_id LIMIT %(limit)s

-- name: restored_here
SELECT DISTINCT recall_id FROM restoration WHERE recall_id > %(after)s ORDER BY recall_id LIMIT %(limit)s

-- name: prepared_here
SELECT recall_id, batch, attempt, message_id, first, last FROM prepared
 WHERE (recall_id, batch) > (%(after)s, %(after_batch)s) ORDER BY recall_id, batch LIMIT %(limit)s
