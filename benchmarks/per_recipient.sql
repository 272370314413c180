-- name: lock
SELECT facts FROM copy WHERE mailbox_id = %(mailbox_id)s AND message_id = %(message_id)s FOR UPDATE

-- name: delete
DELETE FROM copy WHERE mailbox_id = %(mailbox_id)s AND message_id = %(message_id)s

-- name: record
INSERT INTO outcome (recall_id, mailbox_id, outcome, via, batch)
VALUES (%(recall_id)s, %(mailbox_id)s, %(outcome)s, 0, 0)
ON CONFLICT DO NOTHING

-- name: recorded
SELECT count(*) FROM outcome WHERE recall_id = %(recall_id)s
