-- name: recalled_message
SELECT accepted_at, header_message_id, from_header, sender_account_id FROM message WHERE id = %(message_id)s

-- name: groups
SELECT e.position, e.address, coalesce(g.display_name, '')
  FROM envelope_recipient e LEFT JOIN mail_group g ON g.id = e.group_id
 WHERE e.message_id = %(message_id)s AND e.kind = 'group'
 ORDER BY e.position

-- name: lock_recall
-- R18: whoever holds this lock writes the report, unless the row says that somebody did before.
SELECT FROM recall WHERE id = %(recall_id)s FOR UPDATE

-- name: reported
UPDATE recall SET report_message_id = %(message_id)s WHERE id = %(recall_id)s AND report_message_id IS NULL

-- name: author_reported
UPDATE recall SET author_report_message_id = %(message_id)s
 WHERE id = %(recall_id)s AND author_report_message_id IS NULL
