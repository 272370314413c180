-- name: addresses_of_sender
SELECT address FROM address WHERE account_id = %(account_id)s

-- name: reach
-- How many accounts the envelope's groups lead to, each once, and how many recipients are outside, however they are reached.
WITH RECURSIVE reached AS (
    SELECT group_id FROM envelope_recipient WHERE message_id = %(message_id)s AND group_id IS NOT NULL
    UNION
    SELECT g.member_group_id FROM reached r JOIN group_member g USING (group_id) WHERE g.member_group_id IS NOT NULL
)
SELECT (SELECT count(DISTINCT a.id)
          FROM reached r JOIN group_member g USING (group_id) JOIN account a ON a.id = g.account_id
         WHERE a.closed_at IS NULL),
       (SELECT count(*) FROM envelope_recipient WHERE message_id = %(message_id)s AND kind = 'external')
       + (SELECT count(DISTINCT g.external_address) FROM reached r JOIN group_member g USING (group_id))

-- name: hold
WITH held AS (
    UPDATE message SET hold = 'held' WHERE id = %(message_id)s RETURNING id, organisation_id
)
INSERT INTO held_message (message_id, organisation_id, rule, held_at)
SELECT id, organisation_id, %(rule)s, %(now)s FROM held

-- name: decide
-- Whoever holds the message's row first decides; the other finds it decided. A recall takes the same lock.
WITH decided AS (
    UPDATE message SET hold = %(hold)s WHERE id = %(message_id)s AND hold = 'held' RETURNING id
)
UPDATE held_message
   SET decided_by = %(decided_by)s, decided_at = %(now)s, reason = %(reason)s
 WHERE message_id IN (SELECT id FROM decided)
RETURNING organisation_id, rule

-- name: cancel_unsent
-- R28: recalled before its author's time to change their mind was over: as if it had been held.
UPDATE message SET hold = 'cancelled'
 WHERE id = %(message_id)s AND hold IS NULL AND expanded_at IS NULL
   AND EXISTS (SELECT FROM sending WHERE message_id = %(message_id)s AND due_at > %(now)s)

-- name: waiting_among
SELECT id FROM message
 WHERE id = ANY (%(message_ids)s)
   AND (hold = 'held'
        OR hold IS NULL AND expanded_at IS NULL
           AND EXISTS (SELECT FROM sending WHERE message_id = message.id AND due_at > %(now)s))
 ORDER BY id

-- A message that its author may still take back is not yet a moderator's business (R28).

-- name: list_held
SELECT m.id, h.rule, h.held_at, m.accepted_at, m.size, m.from_header, m.to_header, m.subject, m.preview, m.attachments
  FROM held_message h JOIN message m ON m.id = h.message_id
 WHERE h.organisation_id = %(organisation_id)s AND h.decided_at IS NULL AND h.message_id > %(after)s
   AND NOT EXISTS (SELECT FROM sending s WHERE s.message_id = m.id AND s.due_at > %(now)s)
 ORDER BY h.message_id
 LIMIT %(limit)s

-- name: find_held
SELECT m.id, h.rule, h.held_at, m.accepted_at, m.size, m.from_header, m.to_header, m.subject, m.preview, m.attachments
  FROM held_message h JOIN message m ON m.id = h.message_id
 WHERE h.organisation_id = %(organisation_id)s AND h.message_id = %(message_id)s AND h.decided_at IS NULL
   AND NOT EXISTS (SELECT FROM sending s WHERE s.message_id = m.id AND s.due_at > %(now)s)

-- name: was_held
SELECT m.hold FROM held_message h JOIN message m ON m.id = h.message_id
 WHERE h.organisation_id = %(organisation_id)s AND h.message_id = %(message_id)s
   AND NOT EXISTS (SELECT FROM sending s WHERE s.message_id = m.id AND s.due_at > %(now)s)

-- name: recipients
SELECT address FROM envelope_recipient WHERE message_id = %(message_id)s ORDER BY position
