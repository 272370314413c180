-- name: groups
-- The groups that the envelope names: `via` in a recall's counts is the position here.
SELECT position, address FROM envelope_recipient
 WHERE message_id = %(message_id)s AND kind = 'group'
 ORDER BY position
