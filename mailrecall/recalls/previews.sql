-- On the control database ------------------------------------------------------------------------------------------------

-- name: headline
SELECT subject, accepted_at FROM message WHERE id = %(message_id)s

-- name: messages
SELECT m.id, m.expanded_at IS NOT NULL, coalesce(m.hold IN ('held', 'rejected', 'cancelled'), false)
       OR EXISTS (SELECT FROM sending s WHERE s.message_id = m.id AND s.due_at > %(now)s)
  FROM message m
 WHERE m.id = ANY (%(message_ids)s)

-- name: batches
-- Each delivery batch with its recipients. CASE keeps the arrays from being taken apart where nobody is beyond the scope.
SELECT d.message_id, d.batch, d.shard, d.first, d.last, d.recipients,
       CASE WHEN %(by_via)s
            THEN (SELECT jsonb_object_agg(via, n)
                    FROM (SELECT k.via, count(*) AS n FROM unnest(d.via, d.kinship) AS k (via, kinship)
                           WHERE k.kinship <= %(furthest)s GROUP BY k.via) AS counted) END AS in_scope,
       CASE WHEN %(by_via)s AND d.kinship && %(beyond)s::smallint[]
            THEN (SELECT jsonb_object_agg(via, n)
                    FROM (SELECT k.via, count(*) AS n FROM unnest(d.via, d.kinship) AS k (via, kinship)
                           WHERE k.kinship > %(furthest)s GROUP BY k.via) AS counted) END AS beyond,
       CASE WHEN d.kinship && %(beyond)s::smallint[]
            THEN (SELECT array_agg(k.mailbox_id) FROM unnest(d.mailbox_ids, d.kinship) AS k (mailbox_id, kinship)
                   WHERE k.kinship > %(furthest)s) END AS out_of_scope
  FROM delivery_batch d
 WHERE d.message_id = ANY (%(message_ids)s)
 ORDER BY d.message_id, d.batch

-- name: copies
SELECT message_id,
       sum(CASE WHEN kinship && %(beyond)s::smallint[] THEN (SELECT count(*) FROM unnest(kinship) AS k WHERE k <= %(furthest)s)
                ELSE cardinality(mailbox_ids) END)::bigint
  FROM delivery_batch
 WHERE message_id = ANY (%(message_ids)s)
 GROUP BY message_id

-- name: externals
SELECT message_id, CASE WHEN %(by_via)s THEN via ELSE 0 END, count(*)
  FROM external_recipient
 WHERE message_id = ANY (%(message_ids)s)
 GROUP BY 1, 2

-- name: if_expanded
-- Whom a message that is not expanded yet would go to, as `messages.expand` would find them at this moment.
WITH RECURSIVE reached (via, group_id) AS (
    SELECT position, group_id FROM envelope_recipient WHERE message_id = %(message_id)s AND group_id IS NOT NULL
    UNION
    SELECT r.via, g.member_group_id
      FROM reached r JOIN group_member g ON g.group_id = r.group_id AND g.member_group_id IS NOT NULL
), local AS (
    SELECT account_id, min(via) AS via
      FROM (SELECT account_id, 0 AS via FROM envelope_recipient
             WHERE message_id = %(message_id)s AND account_id IS NOT NULL
            UNION ALL
            SELECT g.account_id, r.via FROM reached r JOIN group_member g ON g.group_id = r.group_id
             WHERE g.account_id IS NOT NULL) AS every_way
     GROUP BY account_id
), outside AS (
    SELECT address, min(via) AS via
      FROM (SELECT address, 0 AS via FROM envelope_recipient WHERE message_id = %(message_id)s AND kind = 'external'
            UNION ALL
            SELECT g.external_address, r.via FROM reached r JOIN group_member g ON g.group_id = r.group_id
             WHERE g.external_address IS NOT NULL) AS every_way
     GROUP BY address
)
SELECT CASE WHEN %(by_via)s THEN via ELSE 0 END, in_scope, count(*)
  FROM (SELECT l.via,
               %(to_nobody)s OR CASE WHEN a.domain_id = s.domain_id THEN 0 WHEN a.organisation_id = m.organisation_id THEN 1
                                     ELSE 2 END <= %(furthest)s AS in_scope
          FROM local l JOIN account a ON a.id = l.account_id
               JOIN message m ON m.id = %(message_id)s LEFT JOIN account s ON s.id = m.sender_account_id
         WHERE a.closed_at IS NULL OR l.via = 0
        UNION ALL
        SELECT via, false FROM outside) AS everybody
 GROUP BY 1, 2

-- On a shard ---------------------------------------------------------------------------------------------------------------

-- name: standing
-- LATERAL keeps the plan at one scan of the index for each range, whatever the planner thinks of the arrays. Reads only. Where
-- copies came by a move, ranges overlap, and each copy counts in the batch that holds it.
SELECT b.message_id, b.batch,
       EXISTS (SELECT FROM deposit d WHERE d.message_id = b.message_id AND d.batch = b.batch AND d.recall_id IS NULL),
       c.via, c.outcome, c.n
  FROM unnest(%(message_ids)s::bigint[], %(batches)s::int[], %(firsts)s::int[], %(lasts)s::int[])
       AS b (message_id, batch, first, last)
  LEFT JOIN LATERAL (
       SELECT CASE WHEN %(by_via)s THEN via ELSE 0 END AS via, {OUTCOME_CASE} AS outcome, count(*) AS n
         FROM copy
        WHERE message_id = b.message_id AND mailbox_id BETWEEN b.first AND b.last
          AND mailbox_id <> ALL (%(out_of_scope)s::int[])
          AND mailbox_id <> ALL (ARRAY(SELECT m.mailbox_id FROM moved_copy m
                                        WHERE m.message_id = b.message_id AND m.batch <> b.batch))
          AND (b.batch < {FIRST_MOVED} OR mailbox_id = ANY (ARRAY(SELECT m.mailbox_id FROM moved_copy m
                                                                   WHERE m.message_id = b.message_id AND m.batch = b.batch)))
        GROUP BY 1, 2) AS c ON true
