-- name: insert_message
INSERT INTO message (id, organisation_id, sender_account_id, envelope_sender, channel, accepted_at, size, header_message_id,
                     from_header, to_header, subject, preview, attachments, deliveries_left)
VALUES (coalesce(%(id)s::bigint, nextval('message_id')), %(organisation_id)s, %(sender_account_id)s, %(envelope_sender)s, %(channel)s, %(accepted_at)s,
        %(size)s, %(header_message_id)s, %(from_header)s, %(to_header)s, %(subject)s, %(preview)s, %(attachments)s,
        %(deliveries_left)s)
ON CONFLICT (id) DO NOTHING
RETURNING id

-- name: insert_content
INSERT INTO message_content (message_id, content) VALUES (%(message_id)s, %(content)s)

-- name: copy_envelope
COPY envelope_recipient (message_id, position, address, account_id, group_id, kind) FROM STDIN

-- name: lock_for_expansion
SELECT m.expanded_at, m.sender_account_id, m.organisation_id, a.domain_id, m.hold
  FROM message m LEFT JOIN account a ON a.id = m.sender_account_id
 WHERE m.id = %(message_id)s
   FOR UPDATE OF m

-- name: reaches_many
-- Whether groups lead to more members than it pays to look up one by one; counted no further than that.
WITH RECURSIVE reached (group_id) AS (
    SELECT group_id FROM envelope_recipient WHERE message_id = %(message_id)s AND group_id IS NOT NULL
    UNION
    SELECT g.member_group_id FROM reached r JOIN group_member g USING (group_id) WHERE g.member_group_id IS NOT NULL
)
SELECT count(*) > %(many)s
  FROM (SELECT FROM reached r JOIN group_member g USING (group_id) WHERE g.account_id IS NOT NULL LIMIT %(many)s + 1) AS member

-- name: join_at_once
-- The planner takes any group for a small one, and would look up a hundred thousand accounts one by one.
SET LOCAL enable_nestloop = off

-- name: join_as_usual
SET LOCAL enable_nestloop = on

-- name: expand
-- Everyone the envelope leads to, once: under 0 when named directly, else under the first addressee whose group holds them.
-- UNION drops what was already reached under the same addressee, so overlapping groups are walked once. Each shard's mailboxes
-- are cut into ranges that do not overlap, in ascending order: recalls follow the same ranges. They are as few and as equal as
-- can be: a task costs what it costs however short its range, and one long range at the end is what everybody waits for.
INSERT INTO delivery_batch (message_id, batch, shard, mailbox_ids, via, kinship)
WITH RECURSIVE reached (via, group_id) AS (
    SELECT position, group_id FROM envelope_recipient WHERE message_id = %(message_id)s AND group_id IS NOT NULL
    UNION
    SELECT r.via, g.member_group_id
      FROM reached r JOIN group_member g ON g.group_id = r.group_id AND g.member_group_id IS NOT NULL
), recipients AS (
    SELECT account_id, min(via) AS via
      FROM (SELECT account_id, 0 AS via FROM envelope_recipient
             WHERE message_id = %(message_id)s AND account_id IS NOT NULL
            UNION ALL
            SELECT g.account_id, r.via FROM reached r JOIN group_member g ON g.group_id = r.group_id
             WHERE g.account_id IS NOT NULL) AS every_way
     GROUP BY account_id
), placed AS (
    SELECT a.id, a.shard, r.via,
           CASE WHEN %(to_nobody)s OR a.domain_id = %(domain_id)s THEN 0 WHEN a.organisation_id = %(organisation_id)s THEN 1 ELSE 2 END AS kinship,
           row_number() OVER (PARTITION BY a.shard ORDER BY a.id) - 1 AS place, count(*) OVER (PARTITION BY a.shard) AS on_shard
      FROM recipients r JOIN account a ON a.id = r.account_id
     -- a group's closed members are members no more; one named directly gets no copy, but an outcome (R9: gone)
 WHERE a.closed_at IS NULL OR r.via = 0
), ranged AS (
    SELECT *, place * ((on_shard + %(batch_size)s - 1) / %(batch_size)s) / on_shard AS range FROM placed
)
SELECT %(message_id)s, row_number() OVER (ORDER BY range, shard), shard,
       array_agg(id ORDER BY id), array_agg(via::smallint ORDER BY id), array_agg(kinship::smallint ORDER BY id)
  FROM ranged
 GROUP BY shard, range
RETURNING batch, shard, recipients

-- name: expand_externals
INSERT INTO external_recipient (message_id, address, via)
WITH RECURSIVE reached (via, group_id) AS (
    SELECT position, group_id FROM envelope_recipient WHERE message_id = %(message_id)s AND group_id IS NOT NULL
    UNION
    SELECT r.via, g.member_group_id
      FROM reached r JOIN group_member g ON g.group_id = r.group_id AND g.member_group_id IS NOT NULL
)
SELECT %(message_id)s, address, min(via)
  FROM (SELECT address, 0 AS via FROM envelope_recipient WHERE message_id = %(message_id)s AND kind = 'external'
        UNION ALL
        SELECT g.external_address, r.via FROM reached r JOIN group_member g ON g.group_id = r.group_id
         WHERE g.external_address IS NOT NULL) AS every_way
 GROUP BY address

-- name: undeliverable
-- Addressees that closed between acceptance and delivery: their mail bounces.
SELECT e.address FROM envelope_recipient e LEFT JOIN account a ON a.id = e.account_id
 WHERE e.message_id = %(message_id)s
   AND (e.kind = 'account' AND a.closed_at IS NOT NULL OR e.kind = 'group' AND e.group_id IS NULL)
 ORDER BY e.position

-- name: expanded
UPDATE message SET expanded_at = %(now)s, deliveries_left = deliveries_left + %(deliveries)s WHERE id = %(message_id)s

-- name: hold_off_recalls
-- R16: a request for a recall takes this row for itself, so until the caller's transaction ends no recall begins; deposits
-- of the same message share it. A statement of its own: the next one then sees a recall that was waited for. The advisory lock
-- comes first because it has a queue: whoever only shares a row passes those who wait for it, and the overlapping deposits of a
-- large delivery would keep a request out from the first to the last.
SELECT FROM message m, pg_advisory_xact_lock_shared(1944, (%(message_id)s::bigint %% 2147483647)::int)
 WHERE m.id = %(message_id)s FOR KEY SHARE OF m

-- name: batch_to_deposit
-- With whoever is not to get a copy: those who closed since the expansion and, once the message is recalled, those in scope.
SELECT d.shard, d.mailbox_ids, d.via, CASE WHEN r.id IS NOT NULL THEN d.kinship END AS kinship,
       d.deposited_at IS NOT NULL AS deposited, m.envelope_sender, r.id AS recall_id, r.policy, x.verdict,
       (SELECT array_agg(a.id) FROM account a WHERE a.closed_at IS NOT NULL AND a.id = ANY (d.mailbox_ids)) AS closed,
       m.accepted_at, m.size, m.from_header, m.to_header, m.subject, m.preview, m.attachments
  FROM delivery_batch d JOIN message m ON m.id = d.message_id
  LEFT JOIN recall r ON r.message_id = m.id AND r.undone_at IS NULL
  LEFT JOIN decision x ON x.recall_id = r.id AND x.attempt = r.attempt
 WHERE d.message_id = %(message_id)s AND d.batch = %(batch)s

-- name: message_to_file
SELECT m.sender_account_id, m.author_filed_at IS NOT NULL AS filed,
       m.accepted_at, m.size, m.from_header, m.to_header, m.subject, m.preview, m.attachments
  FROM message m WHERE m.id = %(message_id)s

-- name: is_accepted
SELECT EXISTS (SELECT FROM message WHERE id = %(message_id)s)

-- name: content
SELECT content FROM message_content WHERE message_id = %(message_id)s

-- name: batch_deposited
UPDATE delivery_batch SET deposited_at = %(now)s
 WHERE message_id = %(message_id)s AND batch = %(batch)s AND deposited_at IS NULL

-- name: author_copy_filed
UPDATE message SET author_filed_at = %(now)s WHERE id = %(message_id)s AND author_filed_at IS NULL

-- name: relayed
UPDATE message SET relayed_at = %(now)s WHERE id = %(message_id)s AND relayed_at IS NULL
