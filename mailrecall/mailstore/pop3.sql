-- name: maildrop
-- The inbox in the order of arrival. A copy's id says when its message was accepted.
SELECT c.message_id, c.facts, m.size
  FROM copy c JOIN message m ON m.id = c.message_id
 WHERE c.mailbox_id = %(mailbox_id)s AND c.folder = {inbox} AND c.facts & {deleted} = 0
   AND c.message_id <> ALL (%(hidden)s::bigint[])  -- see mailstore.undecided
 ORDER BY c.message_id
