-- name: delivered
SELECT delivered_at IS NOT NULL FROM message WHERE id = %(message_id)s

-- name: state
SELECT id, state FROM recall WHERE public_id = %(public_id)s

-- name: report
SELECT report_message_id FROM recall WHERE id = %(recall_id)s
