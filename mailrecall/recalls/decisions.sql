-- name: not_for_long
-- Whoever decides must not keep readers waiting: neither for a lock nor by falling silent half-way.
SELECT set_config('lock_timeout', %(wait)s, true), set_config('idle_in_transaction_session_timeout', %(wait)s, true)

-- name: decide
-- The first one's word stands. Another who decides at the same moment waits here for its transaction.
INSERT INTO decision (recall_id, attempt, verdict, decided_at) VALUES (%(recall_id)s, %(attempt)s, %(verdict)s, %(now)s)
ON CONFLICT DO NOTHING

-- name: verdicts
SELECT d.recall_id, d.attempt, d.verdict
  FROM unnest(%(recall_ids)s::bigint[], %(attempts)s::int[]) AS asked (recall_id, attempt)
  JOIN decision d USING (recall_id, attempt)

-- name: batches
SELECT batch, shard FROM recall_batch WHERE recall_id = %(recall_id)s ORDER BY batch
