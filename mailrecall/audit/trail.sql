-- name: lock_head
-- Whoever holds this row appends; the next one waits for the commit and sees the head that it left. One row an organisation.
SELECT records, head FROM audit_chain WHERE organisation_id = %(organisation_id)s FOR UPDATE

-- name: begin_chain
INSERT INTO audit_chain (organisation_id, records, head) VALUES (%(organisation_id)s, 0, %(head)s) ON CONFLICT DO NOTHING

-- name: append
WITH advanced AS (
    UPDATE audit_chain SET records = %(number)s, head = %(hash)s WHERE organisation_id = %(organisation_id)s
)
INSERT INTO audit_record (organisation_id, number, at, event, actor, account_id, recall_id, message_id, details, previous, hash)
VALUES (%(organisation_id)s, %(number)s, %(at)s, %(event)s, %(actor)s, %(account_id)s, %(recall_id)s, %(message_id)s,
        %(details)s, %(previous)s, %(hash)s)

-- name: page
-- Newest first, along the primary key. Who did it is named; whose copies went is not in any record (R23).
SELECT r.*, own.address AS actor_address, recall.public_id AS recall_public_id
  FROM audit_record r
  LEFT JOIN address own ON own.account_id = r.account_id AND NOT own.is_alias
  LEFT JOIN recall ON recall.id = r.recall_id
 WHERE r.organisation_id = %(organisation_id)s AND r.number < %(before)s
 ORDER BY r.number DESC
 LIMIT %(limit)s

-- name: page_of_recall
SELECT r.*, own.address AS actor_address, recall.public_id AS recall_public_id
  FROM recall
  JOIN audit_record r ON r.recall_id = recall.id
  LEFT JOIN address own ON own.account_id = r.account_id AND NOT own.is_alias
 WHERE recall.public_id = %(recall)s AND r.organisation_id = %(organisation_id)s AND r.number < %(before)s
 ORDER BY r.number DESC
 LIMIT %(limit)s

-- name: as_of_one_moment
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY

-- name: heads
-- A chain's own word of where it ends; organisations of which nothing was recorded have none.
SELECT c.organisation_id, o.name, c.records, c.head
  FROM audit_chain c LEFT JOIN organisation o ON o.id = c.organisation_id
 WHERE %(organisation_id)s::int IS NULL OR c.organisation_id = %(organisation_id)s
 ORDER BY c.organisation_id

-- name: records
SELECT * FROM audit_record
 WHERE %(organisation_id)s::int IS NULL OR organisation_id = %(organisation_id)s
 ORDER BY organisation_id, number
