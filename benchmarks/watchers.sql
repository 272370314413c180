-- name: transactions
-- As the server counts them, its own background's too; a backend adds its own at the end of a transaction, once a second.
SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %(database)s

-- name: administrator
UPDATE account SET administrator = true WHERE id = %(account_id)s

-- name: settled
SELECT settled_at FROM recall WHERE public_id = %(public_id)s

-- name: batch_settled
-- When the last of a request's recalls was; null as long as one is not.
SELECT CASE WHEN bool_and(r.state = 'settled') THEN max(r.settled_at) END
  FROM recall r JOIN recall_request q ON q.id = r.request_id
 WHERE q.public_id = %(public_id)s
