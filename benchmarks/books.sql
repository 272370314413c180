-- name: handle
UPDATE copy SET facts = (%(facts)s::int[])[mailbox_id %% 100 + 1]
 WHERE message_id = %(message_id)s AND (%(facts)s::int[])[mailbox_id %% 100 + 1] <> 0

-- name: mailboxes_with
SELECT mailbox_id FROM copy WHERE message_id = %(message_id)s ORDER BY mailbox_id

-- name: ledger
SELECT mailbox_id, outcome FROM outcome WHERE recall_id = %(recall_id)s ORDER BY mailbox_id

-- name: clear_copies
DELETE FROM copy WHERE message_id = %(message_id)s

-- name: clear_ledger
DELETE FROM outcome WHERE recall_id = %(recall_id)s
