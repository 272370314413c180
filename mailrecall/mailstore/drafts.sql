-- A draft whose copy was moved out of the folder, or deleted, is none any more; moved back, it is one again.

-- name: find
SELECT d.version, d.fields, d.saved_at, b.content
  FROM draft d
  JOIN copy c ON c.mailbox_id = d.mailbox_id AND c.message_id = d.copy_id
  JOIN message m ON m.id = d.copy_id
  JOIN body b ON b.id = m.body_id
 WHERE d.mailbox_id = %(mailbox_id)s AND d.copy_id = %(copy_id)s AND c.folder = {drafts} AND c.facts & {deleted} = 0

-- name: lock
SELECT version FROM draft WHERE mailbox_id = %(mailbox_id)s AND copy_id = %(copy_id)s FOR UPDATE

-- name: exists
SELECT EXISTS (SELECT FROM draft WHERE mailbox_id = %(mailbox_id)s AND copy_id = %(copy_id)s)

-- name: insert_draft
INSERT INTO draft (mailbox_id, copy_id, version, fields, saved_at)
VALUES (%(mailbox_id)s, %(copy_id)s, %(version)s, %(fields)s, %(now)s)

-- name: update_draft
-- Never deleted and inserted again: whoever waits for the row's lock must find the same row.
UPDATE draft SET version = %(version)s, fields = %(fields)s, saved_at = %(now)s
 WHERE mailbox_id = %(mailbox_id)s AND copy_id = %(copy_id)s

-- name: delete_draft
DELETE FROM draft WHERE mailbox_id = %(mailbox_id)s AND copy_id = %(copy_id)s

-- name: insert_copy
INSERT INTO copy (mailbox_id, folder, via, message_id, flags)
VALUES (%(mailbox_id)s, {drafts}, 0, %(copy_id)s, %(flags)s)

-- name: bring_back
UPDATE copy SET folder = {drafts}, uid = NULL
 WHERE mailbox_id = %(mailbox_id)s AND message_id = %(copy_id)s AND facts & {deleted} = 0 AND folder <> {drafts}
   AND EXISTS (SELECT FROM draft WHERE mailbox_id = %(mailbox_id)s AND copy_id = %(copy_id)s)

-- name: lock_copy
-- Before `clear`, which sees what was committed when it begins: a copy of the draft that is being made (IMAP COPY) holds this row.
SELECT FROM copy WHERE mailbox_id = %(mailbox_id)s AND message_id = %(copy_id)s FOR UPDATE

-- name: clear
-- Copies that the owner made of the draft (IMAP COPY) are of this version, which is none of the draft's any more: they stand alone
-- from now on, and its content stays for them. What is then put in the draft's place has no UID: another message to an IMAP
-- client, as it has to be.
WITH copies AS (
    DELETE FROM copy WHERE mailbox_id = %(mailbox_id)s AND message_id = %(copy_id)s
), duplicates AS (
    DELETE FROM duplicate WHERE mailbox_id = %(mailbox_id)s AND origin_id = %(copy_id)s
), messages AS (
    DELETE FROM message WHERE id = %(copy_id)s RETURNING body_id
)
DELETE FROM body b
 WHERE b.id IN (SELECT body_id FROM messages)
   AND NOT EXISTS (SELECT FROM message m JOIN copy c ON c.message_id = m.id WHERE m.body_id = b.id AND m.id <> %(copy_id)s)
