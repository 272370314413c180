-- name: claim
-- Whoever gets a row back works on the request: it is new, or the answer to an old one has expired, or whoever worked on it is gone.
INSERT INTO idempotency_key AS kept (account_id, key, request, attempt, begun_at)
VALUES (%(account_id)s, %(key)s, %(request)s, %(attempt)s, %(now)s)
ON CONFLICT (account_id, key) DO UPDATE
   SET request = excluded.request, attempt = excluded.attempt, begun_at = excluded.begun_at,
       status = NULL, headers = NULL, body = NULL
 WHERE kept.begun_at <= %(expired)s
    OR (kept.status IS NULL AND kept.begun_at <= %(abandoned)s AND kept.request = excluded.request)
RETURNING attempt

-- name: kept
SELECT request, status, headers, body FROM idempotency_key WHERE account_id = %(account_id)s AND key = %(key)s

-- name: keep
UPDATE idempotency_key SET status = %(status)s, headers = %(headers)s, body = %(body)s
 WHERE account_id = %(account_id)s AND key = %(key)s AND attempt = %(attempt)s AND status IS NULL

-- name: release
DELETE FROM idempotency_key
 WHERE account_id = %(account_id)s AND key = %(key)s AND attempt = %(attempt)s AND status IS NULL

-- name: forget_expired
-- A few at a time, on the occasion of others; what somebody else holds is left to them.
DELETE FROM idempotency_key
 WHERE (account_id, key) IN (SELECT account_id, key FROM idempotency_key WHERE begun_at <= %(expired)s
                              LIMIT 100 FOR UPDATE SKIP LOCKED)
