-- name: schedule
INSERT INTO sending (message_id, due_at, work_ids) VALUES (%(message_id)s, %(due_at)s, %(work_ids)s)

-- name: lock
-- The message's row is locked: a recall and an expansion wait, or were first.
SELECT s.due_at, s.work_ids, m.expanded_at IS NOT NULL
  FROM message m LEFT JOIN sending s ON s.message_id = m.id
 WHERE m.id = %(message_id)s AND m.sender_account_id = %(account_id)s
   FOR UPDATE OF m

-- name: is_recalled
SELECT EXISTS (SELECT FROM recall WHERE message_id = %(message_id)s)

-- name: take_work_back
-- The relay locks what it publishes: this waits for it and then finds the row published, or the relay passes over a row that goes.
DELETE FROM outbox WHERE id = ANY (%(work_ids)s) AND published_at IS NULL

-- name: forget
DELETE FROM message WHERE id = %(message_id)s
