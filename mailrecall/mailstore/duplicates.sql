-- name: record_on_origins
-- Ordinary copies have no row in `duplicate`, and this finds nothing.
WITH origin AS MATERIALIZED (
    SELECT message_id FROM copy
     WHERE mailbox_id = %(mailbox_id)s
       AND message_id IN (SELECT origin_id FROM duplicate
                           WHERE mailbox_id = %(mailbox_id)s AND message_id = ANY (%(copy_ids)s::bigint[]))
       AND facts & %(facts)s <> %(facts)s AND (facts & {prepared} = 0 OR message_id = ANY (%(free)s::bigint[]))
     ORDER BY message_id
       FOR UPDATE
)
UPDATE copy c
   SET facts = facts | %(facts)s, touched_at = coalesce(touched_at, %(now)s)
  FROM origin
 WHERE c.mailbox_id = %(mailbox_id)s AND c.message_id = origin.message_id

-- name: lock
-- The folder is asked for here, so that it is the one of the row as it is once this has its lock.
SELECT message_id FROM copy
 WHERE mailbox_id = %(mailbox_id)s AND message_id = ANY (%(copy_ids)s::bigint[]) AND facts & {deleted} = 0
   AND (%(folder)s::smallint IS NULL OR folder = %(folder)s)
   AND (facts & {prepared} = 0 OR message_id = ANY (%(free)s::bigint[]))
 ORDER BY message_id
   FOR UPDATE

-- name: marked
SELECT message_id FROM copy
 WHERE mailbox_id = %(mailbox_id)s AND message_id = ANY (%(copy_ids)s::bigint[]) AND facts & {deleted} = 0
   AND facts & {prepared} <> 0 AND (%(folder)s::smallint IS NULL OR folder = %(folder)s)

-- name: let_copies_of_drafts_stand_alone
-- A draft may yet be sent, or saved once more, which clears its row wherever that lies: it takes no other one's place.
DELETE FROM duplicate d USING draft f
 WHERE d.mailbox_id = %(mailbox_id)s AND d.origin_id = ANY (%(copy_ids)s::bigint[])
   AND f.mailbox_id = d.mailbox_id AND f.copy_id = d.origin_id

-- name: drop_duplicates
WITH dropped AS (
    DELETE FROM duplicate
     WHERE mailbox_id = %(mailbox_id)s AND message_id = ANY (%(copy_ids)s::bigint[])
    RETURNING message_id
)
DELETE FROM copy c USING dropped d
 WHERE c.mailbox_id = %(mailbox_id)s AND c.message_id = d.message_id
RETURNING c.message_id

-- name: mark_deleted
UPDATE copy
   SET facts = facts | {deleted}, touched_at = coalesce(touched_at, %(now)s)
 WHERE mailbox_id = %(mailbox_id)s AND message_id = ANY (%(copy_ids)s::bigint[]) AND facts & {deleted} = 0

-- name: living_duplicate
SELECT c.message_id, c.folder, c.flags, c.uid
  FROM duplicate d JOIN copy c ON c.mailbox_id = d.mailbox_id AND c.message_id = d.message_id
 WHERE d.mailbox_id = %(mailbox_id)s AND d.origin_id = %(origin_id)s AND c.facts & {deleted} = 0
 ORDER BY c.message_id
 LIMIT 1
   FOR UPDATE OF c

-- name: take_place
UPDATE copy
   SET folder = %(folder)s, flags = %(flags)s, uid = %(uid)s
 WHERE mailbox_id = %(mailbox_id)s AND message_id = %(origin_id)s

-- name: has_duplicates
SELECT FROM duplicate WHERE origin_id = %(message_id)s LIMIT 1

-- name: withdraw
-- What is withdrawn is what the ledger says was: the rows of `outcome` are this transaction's. Written down to be put back (R26).
WITH withdrawn AS (
    DELETE FROM duplicate d USING outcome o
     WHERE d.origin_id = %(message_id)s AND o.mailbox_id = d.mailbox_id
       AND o.recall_id = %(recall_id)s AND o.batch = %(batch)s AND o.outcome = {RECALLED} AND o.folder IS NOT NULL
    RETURNING d.mailbox_id, d.message_id
), deleted AS (
    DELETE FROM copy c USING withdrawn w
     WHERE c.mailbox_id = w.mailbox_id AND c.message_id = w.message_id
    RETURNING c.mailbox_id, c.message_id, c.folder, c.flags
)
INSERT INTO withdrawn_duplicate (recall_id, batch, mailbox_id, message_id, origin_id, folder, flags)
SELECT %(recall_id)s, %(batch)s, mailbox_id, message_id, %(message_id)s, folder, flags FROM deleted
