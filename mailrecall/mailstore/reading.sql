-- Copies that their owner deleted for good keep their row (domain.copies.Fact.DELETED) and exist for nobody.

-- name: list_folder
-- Backwards along the primary key; copies in other folders are passed over.
SELECT c.message_id, c.folder, c.flags, m.accepted_at, m.size, m.from_header, m.to_header, m.subject, m.preview,
       m.attachments
  FROM copy c JOIN message m ON m.id = c.message_id
 WHERE c.mailbox_id = %(mailbox_id)s AND c.message_id < %(before)s
   AND c.folder = %(folder)s AND c.facts & {deleted} = 0
 ORDER BY c.message_id DESC
 LIMIT %(limit)s

-- name: find
SELECT c.message_id, c.folder, c.flags, m.accepted_at, m.size, m.from_header, m.to_header, m.subject, m.preview,
       m.attachments
  FROM copy c JOIN message m ON m.id = c.message_id
 WHERE c.mailbox_id = %(mailbox_id)s AND c.message_id = %(copy_id)s AND c.facts & {deleted} = 0

-- name: count_folders
SELECT folder, count(*), count(*) FILTER (WHERE flags & {seen} = 0)
  FROM copy
 WHERE mailbox_id = %(mailbox_id)s AND facts & {deleted} = 0
 GROUP BY folder

-- name: content
SELECT b.content
  FROM copy c JOIN message m ON m.id = c.message_id JOIN body b ON b.id = m.body_id
 WHERE c.mailbox_id = %(mailbox_id)s AND c.message_id = %(copy_id)s AND c.facts & {deleted} = 0

-- name: record
-- The row lock orders this with a withdrawal: either the fact is there before the withdrawal decides, or the row is gone.
-- What is recorded already is not written again.
UPDATE copy
   SET facts = facts | %(facts)s, flags = flags | %(flags)s, touched_at = coalesce(touched_at, %(now)s)
 WHERE mailbox_id = %(mailbox_id)s AND message_id = %(copy_id)s AND facts & {deleted} = 0
   AND (facts & %(facts)s <> %(facts)s OR flags & %(flags)s <> %(flags)s)

-- name: is_recorded
-- A copy that has the facts stays, so no lock is needed; one that came only now has them not, and counts as absent.
SELECT EXISTS (SELECT FROM copy
                WHERE mailbox_id = %(mailbox_id)s AND message_id = %(copy_id)s AND facts & {deleted} = 0
                  AND facts & %(facts)s = %(facts)s)

-- name: clear_flags
UPDATE copy
   SET flags = flags & ~%(flags)s::smallint
 WHERE mailbox_id = %(mailbox_id)s AND message_id = %(copy_id)s AND facts & {deleted} = 0
   AND flags & %(flags)s <> 0

-- name: move
-- In another folder it is another message to an IMAP client: the next session that looks gives it a UID there.
UPDATE copy
   SET folder = %(folder)s, uid = NULL
 WHERE mailbox_id = %(mailbox_id)s AND message_id = %(copy_id)s AND facts & {deleted} = 0
   AND folder <> %(folder)s

-- name: lock
SELECT folder FROM copy
 WHERE mailbox_id = %(mailbox_id)s AND message_id = %(copy_id)s AND facts & {deleted} = 0
   FOR UPDATE
