-- name: forgotten
-- On the control database: attempts that it does not know, or has not decided. Every recall that is settled was decided, if it is
-- one of those that are.
SELECT DISTINCT p.id, p.attempt
  FROM unnest(%(ids)s::bigint[], %(attempts)s::int[]) AS p (id, attempt)
  JOIN recall r ON r.id = p.id
 WHERE r.attempt < p.attempt
    OR r.attempt = p.attempt AND r.state <> 'settled'
       AND NOT EXISTS (SELECT FROM decision d WHERE d.recall_id = p.id AND d.attempt = p.attempt)
