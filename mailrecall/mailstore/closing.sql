-- name: mark_deleted
-- Every copy of a closed mailbox counts as deleted by its recipient (R9, `gone`); the rows stay, so that a recall can still
-- say to whom the message went. What is marked already is not written again.
UPDATE copy
   SET facts = facts | {deleted}, touched_at = coalesce(touched_at, %(now)s)
 WHERE mailbox_id = %(mailbox_id)s AND facts & {deleted} = 0
