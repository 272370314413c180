-- On the control database ------------------------------------------------------------------------------------------------

-- name: batches
SELECT b.batch, b.shard, b.state IN ('unreachable', 'assumed'), r.policy
  FROM recall_batch b JOIN recall r ON r.id = b.recall_id
 WHERE r.id = %(recall_id)s
 ORDER BY b.batch

-- name: named_directly
SELECT e.address, e.account_id
  FROM recall r JOIN envelope_recipient e ON e.message_id = r.message_id
 WHERE r.id = %(recall_id)s AND e.kind <> 'group'
 ORDER BY e.position

-- name: recipients_of_batch
-- As `give_up_batches` counts them, and `assume_carried_out`.
SELECT one.mailbox_id, one.via,
       CASE WHEN b.state = 'unreachable' THEN {UNREACHABLE} WHEN one.kinship > %(furthest)s THEN {EXTERNAL}
            WHEN x.verdict = 'release' THEN {VETOED} ELSE {RECALLED} END
  FROM recall r
  LEFT JOIN decision x ON x.recall_id = r.id AND x.attempt = r.attempt
  JOIN recall_batch b ON b.recall_id = r.id
  JOIN delivery_batch d ON d.message_id = r.message_id AND d.batch = b.batch,
       unnest(d.mailbox_ids, d.via, d.kinship) AS one (mailbox_id, via, kinship)
 WHERE r.id = %(recall_id)s AND b.batch = %(batch)s

-- name: externals
-- Pages by key, so that no transaction stays open while somebody writes down what the page before held.
SELECT e.address, e.via
  FROM recall r JOIN external_recipient e ON e.message_id = r.message_id
 WHERE r.id = %(recall_id)s AND e.address > %(after)s
 ORDER BY e.address LIMIT %(limit)s

-- name: addresses
SELECT account_id, address FROM address WHERE account_id = ANY(%(mailbox_ids)s) AND NOT is_alias

-- On a shard ---------------------------------------------------------------------------------------------------------------

-- name: of_mailboxes
-- A batch that was given up counts as unreachable even if its shard came to withdraw it and could not say so: the ledger must
-- not be told differently here than in the counts.
SELECT mailbox_id, outcome
  FROM outcome
 WHERE recall_id = %(recall_id)s AND mailbox_id = ANY(%(mailbox_ids)s) AND batch <> ALL(%(given_up)s)

-- name: failed
-- Runs along the primary key: neither a sort nor a transaction over more than one page.
SELECT mailbox_id, via, outcome
  FROM outcome
 WHERE recall_id = %(recall_id)s AND mailbox_id > %(after)s AND outcome <> %(recalled)s AND batch <> ALL(%(given_up)s)
 ORDER BY mailbox_id LIMIT %(limit)s
