-- name: outbox
-- The outbox is as long as what is unfinished, so it may be read whole. `later`: its hour has not come. What is due waits for the
-- relay, anew with each lease; what is published waits for a worker, and that since it was first due.
SELECT task, CASE WHEN dead THEN 'dead' WHEN published_at IS NOT NULL THEN 'published'
                  WHEN due_at > %(now)s THEN CASE WHEN failure IS NULL THEN 'later' ELSE 'retry' END
                  ELSE 'due' END AS state,
       count(*), extract(epoch FROM %(now)s - min(CASE WHEN published_at IS NULL THEN due_at ELSE {first_due} END))::float AS age
  FROM outbox GROUP BY 1, 2

-- name: shard_lag
-- Since when the oldest deposit or withdrawal has waited for each shard, however often it was published meanwhile.
SELECT (args ->> 'shard')::int AS shard, greatest(0, extract(epoch FROM %(now)s - min({first_due})))::float
  FROM outbox WHERE args ? 'shard' AND NOT dead GROUP BY 1

-- name: unfinished_recalls
SELECT state, count(*), count(*) FILTER (WHERE deadline_at < %(now)s),
       extract(epoch FROM %(now)s - min(requested_at))::float,
       count(*) FILTER (WHERE requested_at < %(now)s - interval '1 minute'),
       count(*) FILTER (WHERE requested_at < %(now)s - interval '10 minutes'),
       count(*) FILTER (WHERE requested_at < %(now)s - interval '1 hour')
  FROM recall WHERE state <> 'settled' GROUP BY state

-- name: running_recalls
-- The largest of those under way, by their numbers: whom they reach is nobody's business here (R23).
SELECT r.id, sum(b.recipients)::bigint AS recipients, coalesce(sum(b.recipients) FILTER (WHERE b.state <> 'pending'), 0)::bigint
  FROM recall r JOIN recall_batch b ON b.recall_id = r.id
 WHERE r.state = 'running' GROUP BY r.id ORDER BY 2 DESC LIMIT %(limit)s

-- name: held
SELECT count(*) FROM held_message WHERE decided_at IS NULL

-- name: size
SELECT pg_database_size(current_database())
