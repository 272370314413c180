-- name: insert_token
INSERT INTO token (digest, account_id, created_at, expires_at)
VALUES (%(digest)s, %(account_id)s, %(now)s, %(expires_at)s)

-- name: forget_expired
DELETE FROM token WHERE account_id = %(account_id)s AND expires_at <= %(now)s

-- name: revoke_token
DELETE FROM token WHERE digest = %(digest)s

-- name: revoke_all
DELETE FROM token WHERE account_id = %(account_id)s
