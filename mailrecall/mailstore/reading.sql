-- Copies that their owner deleted for good keep their row (domain.copies.Fact.DELETED) and exist for nobody. Of those that an
-- all-or-nothing recall has prepared (domain.copies.PREPARED), `hidden` has those that are gone, and `free` those that may be
-- changed all the same: see mailstore.undecided. Both are empty, but for a few.

-- name: list_folder
-- Backwards along the primary key; copies in other folders are passed over.
SELECT c.message_id, c.facts, c.folder, c.flags, m.accepted_at, m.size, m.from_header, m.to_header, m.subject, m.preview,
       m.attachments
  FROM copy c JOIN message m ON m.id = c.message_id
 WHERE c.mailbox_id = %(mailbox_id)s AND c.message_id < %(before)s
   AND c.folder = %(folder)s AND c.facts & {deleted} = 0 AND c.message_id <> ALL (%(hidden)s::bigint[])
 ORDER BY c.message_id DESC
 LIMIT %(limit)s

-- name: find
SELECT c.message_id, c.facts, c.folder, c.flags, m.accepted_at, m.size, m.from_header, m.to_header, m.subject, m.preview,
       m.attachments
  FROM copy c JOIN message m ON m.id = c.message_id
 WHERE c.mailbox_id = %(mailbox_id)s AND c.message_id = %(copy_id)s AND c.facts & {deleted} = 0
   AND c.message_id <> ALL (%(hidden)s::bigint[])

-- name: count_folders
SELECT folder, count(*), count(*) FILTER (WHERE flags & {seen} = 0),
       array_agg(message_id) FILTER (WHERE facts & {prepared} <> 0)
  FROM copy
 WHERE mailbox_id = %(mailbox_id)s AND facts & {deleted} = 0 AND message_id <> ALL (%(hidden)s::bigint[])
 GROUP BY folder

-- name: content
SELECT c.message_id, c.facts, b.content
  FROM copy c JOIN message m ON m.id = c.message_id JOIN body b ON b.id = m.body_id
 WHERE c.mailbox_id = %(mailbox_id)s AND c.message_id = %(copy_id)s AND c.facts & {deleted} = 0
   AND c.message_id <> ALL (%(hidden)s::bigint[])

-- name: record
-- The row lock orders this with a withdrawal: either the fact is there before the withdrawal decides, or the row is gone.
-- What is recorded already is not written again.
UPDATE copy
   SET facts = facts | %(facts)s, flags = flags | %(flags)s, touched_at = coalesce(touched_at, %(now)s)
 WHERE mailbox_id = %(mailbox_id)s AND message_id = %(copy_id)s AND facts & {deleted} = 0
   AND (facts & %(facts)s <> %(facts)s OR flags & %(flags)s <> %(flags)s)
   AND (facts & {prepared} = 0 OR message_id = ANY (%(free)s::bigint[]))

-- name: facts
-- A copy that has a fact stays, so no lock is needed.
SELECT facts FROM copy WHERE mailbox_id = %(mailbox_id)s AND message_id = %(copy_id)s AND facts & {deleted} = 0

-- name: clear_flags
UPDATE copy
   SET flags = flags & ~%(flags)s::smallint
 WHERE mailbox_id = %(mailbox_id)s AND message_id = %(copy_id)s AND facts & {deleted} = 0
   AND flags & %(flags)s <> 0 AND (facts & {prepared} = 0 OR message_id = ANY (%(free)s::bigint[]))

-- name: move
-- In another folder it is another message to an IMAP client: the next session that looks gives it a UID there.
UPDATE copy
   SET folder = %(folder)s, uid = NULL
 WHERE mailbox_id = %(mailbox_id)s AND message_id = %(copy_id)s AND facts & {deleted} = 0
   AND folder <> %(folder)s AND (facts & {prepared} = 0 OR message_id = ANY (%(free)s::bigint[]))

-- name: lock
SELECT folder FROM copy
 WHERE mailbox_id = %(mailbox_id)s AND message_id = %(copy_id)s AND facts & {deleted} = 0
   AND (facts & {prepared} = 0 OR message_id = ANY (%(free)s::bigint[]))
   FOR UPDATE
