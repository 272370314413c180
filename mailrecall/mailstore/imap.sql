-- A folder as IMAP sees it. Rows are locked in one order everywhere: the folder that gives UIDs, then copies by their ids.
-- `hidden` and `free` are of copies that an all-or-nothing recall has prepared: see mailstore.undecided.

-- name: list
SELECT c.message_id, c.facts, c.uid, c.flags, m.accepted_at, m.size, m.attachments
  FROM copy c JOIN message m ON m.id = c.message_id
 WHERE c.mailbox_id = %(mailbox_id)s AND c.folder = %(folder)s AND c.facts & {deleted} = 0
   AND c.message_id <> ALL (%(hidden)s::bigint[])
 ORDER BY c.uid

-- name: folder
SELECT uid_validity, next_uid FROM folder WHERE mailbox_id = %(mailbox_id)s AND folder = %(folder)s

-- name: take_folder
-- The lock under which UIDs are given, and the folder's row if this is the first look.
INSERT INTO folder (mailbox_id, folder, uid_validity) VALUES (%(mailbox_id)s, %(folder)s, %(uid_validity)s)
ON CONFLICT (mailbox_id, folder) DO UPDATE SET next_uid = folder.next_uid
RETURNING uid_validity, next_uid

-- name: give_uids
WITH waiting AS MATERIALIZED (
    SELECT message_id FROM copy
     WHERE mailbox_id = %(mailbox_id)s AND folder = %(folder)s AND uid IS NULL AND facts & {deleted} = 0
     ORDER BY message_id
       FOR UPDATE
), numbered AS (
    SELECT message_id, %(next_uid)s - 1 + row_number() OVER (ORDER BY message_id) AS uid FROM waiting
)
UPDATE copy c SET uid = n.uid
  FROM numbered n
 WHERE c.mailbox_id = %(mailbox_id)s AND c.message_id = n.message_id

-- name: advance
UPDATE folder SET next_uid = next_uid + %(given)s WHERE mailbox_id = %(mailbox_id)s AND folder = %(folder)s

-- name: by_uid
SELECT message_id, facts, uid, flags FROM copy
 WHERE mailbox_id = %(mailbox_id)s AND folder = %(folder)s AND uid = ANY (%(uids)s::int[]) AND facts & {deleted} = 0

-- name: lock
SELECT message_id, uid FROM copy
 WHERE mailbox_id = %(mailbox_id)s AND folder = %(folder)s AND uid = ANY (%(uids)s::int[]) AND facts & {deleted} = 0
   AND (facts & {prepared} = 0 OR message_id = ANY (%(free)s::bigint[]))
 ORDER BY message_id
   FOR UPDATE

-- name: record
UPDATE copy
   SET facts = facts | %(facts)s, flags = flags | %(flags)s, touched_at = coalesce(touched_at, %(now)s)
 WHERE mailbox_id = %(mailbox_id)s AND message_id = ANY (%(copy_ids)s::bigint[])
   AND (facts & %(facts)s <> %(facts)s OR flags & %(flags)s <> %(flags)s)

-- name: set_flags
UPDATE copy
   SET flags = flags & ~%(cleared)s::smallint | %(set)s::smallint
 WHERE mailbox_id = %(mailbox_id)s AND message_id = ANY (%(copy_ids)s::bigint[])
   AND flags <> (flags & ~%(cleared)s::smallint | %(set)s::smallint)

-- name: content
SELECT c.message_id, c.facts, b.content
  FROM copy c JOIN message m ON m.id = c.message_id JOIN body b ON b.id = m.body_id
 WHERE c.mailbox_id = %(mailbox_id)s AND c.folder = %(folder)s AND c.uid = %(uid)s AND c.facts & {deleted} = 0
   AND c.message_id <> ALL (%(hidden)s::bigint[])

-- name: heads
-- The first octets of each; content is stored uncompressed, so only these are read.
SELECT c.message_id, c.facts, c.uid, substring(b.content FROM 1 FOR %(octets)s)
  FROM copy c JOIN message m ON m.id = c.message_id JOIN body b ON b.id = m.body_id
 WHERE c.mailbox_id = %(mailbox_id)s AND c.folder = %(folder)s AND c.uid = ANY (%(uids)s::int[]) AND c.facts & {deleted} = 0
   AND c.message_id <> ALL (%(hidden)s::bigint[])

-- name: flagged_deleted
SELECT message_id, uid FROM copy
 WHERE mailbox_id = %(mailbox_id)s AND folder = %(folder)s AND uid = ANY (%(uids)s::int[])
   AND flags & {flag_deleted} <> 0 AND facts & {deleted} = 0

-- name: move
UPDATE copy c
   SET folder = %(into)s, uid = n.uid
  FROM unnest(%(copy_ids)s::bigint[], %(new_uids)s::int[]) AS n (message_id, uid)
 WHERE c.mailbox_id = %(mailbox_id)s AND c.message_id = n.message_id

-- name: copy_messages
INSERT INTO message (id, body_id, accepted_at, size, from_header, to_header, subject, preview, attachments)
SELECT n.new_id, m.body_id, m.accepted_at, m.size, m.from_header, m.to_header, m.subject, m.preview, m.attachments
  FROM unnest(%(copy_ids)s::bigint[], %(new_ids)s::bigint[]) AS n (message_id, new_id)
  JOIN message m ON m.id = n.message_id

-- name: copy_copies
INSERT INTO copy (mailbox_id, folder, via, message_id, facts, flags, touched_at, uid)
SELECT c.mailbox_id, %(into)s, 0, n.new_id, c.facts, c.flags, c.touched_at, n.uid
  FROM unnest(%(copy_ids)s::bigint[], %(new_ids)s::bigint[], %(new_uids)s::int[]) AS n (message_id, new_id, uid)
  JOIN copy c ON c.mailbox_id = %(mailbox_id)s AND c.message_id = n.message_id

-- name: note_duplicates
INSERT INTO duplicate (mailbox_id, message_id, origin_id)
SELECT %(mailbox_id)s, n.new_id, coalesce(d.origin_id, n.message_id)
  FROM unnest(%(copy_ids)s::bigint[], %(new_ids)s::bigint[]) AS n (message_id, new_id)
  LEFT JOIN duplicate d ON d.mailbox_id = %(mailbox_id)s AND d.message_id = n.message_id

-- name: lock_with_origins
-- A copy may only be made of what no withdrawal is deleting this moment; a duplicate's origin stands for it there.
SELECT message_id FROM copy
 WHERE mailbox_id = %(mailbox_id)s AND facts & {deleted} = 0
   AND (message_id = ANY (%(copy_ids)s::bigint[])
        OR message_id IN (SELECT origin_id FROM duplicate
                           WHERE mailbox_id = %(mailbox_id)s AND message_id = ANY (%(copy_ids)s::bigint[])))
   AND (facts & {prepared} = 0 OR message_id = ANY (%(free)s::bigint[]))
 ORDER BY message_id
   FOR UPDATE

-- name: append
INSERT INTO copy (mailbox_id, folder, via, message_id, flags, uid)
VALUES (%(mailbox_id)s, %(folder)s, 0, %(copy_id)s, %(flags)s, %(uid)s)
