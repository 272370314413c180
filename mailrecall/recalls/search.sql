-- name: page
-- R20, newest first, from a place on. The condition on the recipient is one of those below. To be planned for its values each time: what
-- was not asked for then falls away. Whatever its author may still take back is a draft (R28), and nobody else's business.
SELECT m.id, m.accepted_at, m.sender_account_id, m.channel, m.size, m.from_header, m.to_header, m.subject, m.attachments,
       m.hold IS NOT DISTINCT FROM 'held' AS held
  FROM message m
 WHERE m.organisation_id = %(organisation_id)s
   AND (m.accepted_at, m.id) < (%(before_at)s, %(before_id)s)
   AND m.accepted_at >= %(since)s AND m.accepted_at < %(until)s
   AND (%(sender)s::int IS NULL OR m.sender_account_id = %(sender)s)
   AND (%(subject)s::text IS NULL OR strpos(lower(m.subject), lower(%(subject)s)) > 0)
   AND (%(pairs)s::boolean IS NOT TRUE OR pairs_of(m.subject) @> pairs_of(%(subject)s))
   AND NOT EXISTS (SELECT FROM sending s WHERE s.message_id = m.id AND s.due_at > %(now)s)
   AND {recipient}
 ORDER BY m.accepted_at DESC, m.id DESC
 LIMIT %(limit)s

-- Whose copy was recalled is never told to an administrator (R23): by recipient, a recalled message is not found, whatever became
-- of that recipient's copy.

-- name: to_anybody
true

-- name: to_account
m.id IN (SELECT message_id FROM envelope_recipient WHERE account_id = %(recipient)s)
   AND NOT EXISTS (SELECT FROM recall r WHERE r.message_id = m.id AND r.undone_at IS NULL)

-- name: to_member
-- Those who were members at delivery (R13).
EXISTS (SELECT FROM envelope_recipient e WHERE e.message_id = m.id AND e.kind = 'group')
   AND EXISTS (SELECT FROM delivery_batch d
                WHERE d.message_id = m.id AND d.first <= %(recipient)s AND d.last >= %(recipient)s
                  AND d.mailbox_ids @> ARRAY[%(recipient)s::int])
   AND NOT EXISTS (SELECT FROM recall r WHERE r.message_id = m.id AND r.undone_at IS NULL)

-- name: to_group
m.id IN (SELECT message_id FROM envelope_recipient WHERE group_id = %(recipient)s)

-- name: to_outside
m.id IN (SELECT message_id FROM external_recipient WHERE address = %(address)s
         UNION ALL
         SELECT message_id FROM envelope_recipient WHERE kind = 'external' AND address = %(address)s)

-- name: named
-- What was chosen from pages of a search, in the form of `page`; whatever else is named does not exist (R24, R28).
SELECT m.id, m.accepted_at, m.sender_account_id, m.channel, m.size, m.from_header, m.to_header, m.subject, m.attachments,
       m.hold IS NOT DISTINCT FROM 'held' AS held
  FROM message m
 WHERE m.id = ANY (%(message_ids)s) AND m.organisation_id = %(organisation_id)s
   AND NOT EXISTS (SELECT FROM sending s WHERE s.message_id = m.id AND s.due_at > %(now)s)
 ORDER BY m.accepted_at DESC, m.id DESC

-- name: sizes
-- All recipients of recalled messages, external ones included.
SELECT m.id,
       coalesce((SELECT sum(recipients) FROM delivery_batch WHERE message_id = m.id), 0)
       + (SELECT count(*) FROM external_recipient WHERE message_id = m.id)
  FROM message m
 WHERE m.id = ANY (%(message_ids)s)
