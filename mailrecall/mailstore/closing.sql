-- name: mark_deleted
-- Every copy of a closed mailbox counts as deleted by its recipient (R9, `gone`); the rows stay, so that a recall can still
-- say to whom the message went. What is marked already is not written again.
UPDATE copy
   SET facts = facts | {deleted}, touched_at = coalesce(touched_at, %(now)s)
 WHERE mailbox_id = %(mailbox_id)s AND facts & {deleted} = 0
   AND (facts & {prepared} = 0 OR message_id = ANY (%(free)s::bigint[]))

-- name: marked
-- R13: to be deleted would keep these from being recalled, so their recall is decided first.
SELECT message_id FROM copy
 WHERE mailbox_id = %(mailbox_id)s AND facts & {deleted} = 0 AND facts & {prepared} <> 0 AND message_id <> ALL (%(gone)s::bigint[])
