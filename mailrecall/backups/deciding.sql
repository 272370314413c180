-- name: prepare_again
-- Batches that all qualified when their shard was asked, of recalls that are not decided: they are asked again. A decision that was
-- forgotten may have let readers keep a copy; a shard that was restored may have forgotten what it prepared.
UPDATE recall_batch b SET prepared_attempt = 0
  FROM recall r
 WHERE r.id = b.recall_id AND r.state <> 'settled' AND b.state = 'pending' AND b.prepared_attempt = r.attempt
   AND NOT EXISTS (SELECT FROM decision d WHERE d.recall_id = r.id AND d.attempt = r.attempt)
RETURNING b.recall_id, b.batch, b.shard

-- name: forgotten
-- On the control database: attempts that it does not know, or has not decided. Every recall that is settled was decided, if it is
-- one of those that are.
SELECT DISTINCT p.id, p.attempt
  FROM unnest(%(ids)s::bigint[], %(attempts)s::int[]) AS p (id, attempt)
  JOIN recall r ON r.id = p.id
 WHERE r.attempt < p.attempt
    OR r.attempt = p.attempt AND r.state <> 'settled'
       AND NOT EXISTS (SELECT FROM decision d WHERE d.recall_id = p.id AND d.attempt = p.attempt)
