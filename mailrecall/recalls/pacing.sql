-- How fast a recall went, told by the moments at which its ranges were counted: a few dozen rows, found by their primary key.
-- A recall that waited for a second administrator (R21) begins when that one agreed. What was counted without its shard and
-- corrected afterwards was done when the recall settled. Clocks of several machines may differ: nothing is done before the beginning.

-- name: extent
SELECT max(done.after), count(DISTINCT done.after)
  FROM recall r
  LEFT JOIN recall_request q ON q.id = r.request_id
  JOIN recall_batch b ON b.recall_id = r.id AND b.done_at IS NOT NULL
 CROSS JOIN LATERAL (
           SELECT greatest(least(b.done_at, r.settled_at) - coalesce(q.decided_at, r.requested_at), '0') AS after
       ) AS done
 WHERE r.id = %(recall_id)s AND b.recipients > 0

-- name: by_stretch
SELECT (extract(epoch FROM done.after) * 1000000)::bigint / %(stretch)s AS number, sum(b.recipients)::bigint
  FROM recall r
  LEFT JOIN recall_request q ON q.id = r.request_id
  JOIN recall_batch b ON b.recall_id = r.id AND b.done_at IS NOT NULL
 CROSS JOIN LATERAL (
           SELECT greatest(least(b.done_at, r.settled_at) - coalesce(q.decided_at, r.requested_at), '0') AS after
       ) AS done
 WHERE r.id = %(recall_id)s AND b.recipients > 0
 GROUP BY 1
