-- name: copies
-- Everything the shard holds of one message: whose copy, and what happened to it.
SELECT mailbox_id, facts FROM copy WHERE message_id = %(message_id)s

-- name: outcomes
SELECT outcome, count(*) FROM outcome WHERE recall_id = %(recall_id)s GROUP BY outcome

-- name: recalled_mailboxes
SELECT mailbox_id FROM outcome WHERE recall_id = %(recall_id)s AND outcome = 1

-- name: content_digest
SELECT encode(sha256(b.content), 'hex') FROM message m JOIN body b ON b.id = m.body_id WHERE m.id = %(message_id)s

-- name: externals
SELECT count(*) FROM external_recipient WHERE message_id = %(message_id)s

-- name: recall_number
SELECT id FROM recall WHERE public_id = %(public_id)s

-- name: delivered
SELECT delivered_at IS NOT NULL FROM message WHERE id = %(message_id)s
