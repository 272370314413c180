-- name: sender_and_subject
SELECT sender_account_id, subject FROM message WHERE id = %(message_id)s AND sender_account_id IS NOT NULL
