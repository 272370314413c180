-- name: lock_account
SELECT FROM account WHERE id = %(account_id)s FOR NO KEY UPDATE

-- name: make_personal
UPDATE token SET name = %(name)s, scopes = %(scopes)s WHERE digest = %(digest)s
RETURNING id, name, scopes, created_at, expires_at, last_used_at

-- name: of_account
SELECT id, name, scopes, created_at, expires_at, last_used_at
  FROM token
 WHERE account_id = %(account_id)s AND name IS NOT NULL AND expires_at > %(now)s
 ORDER BY id DESC

-- name: revoke
DELETE FROM token WHERE account_id = %(account_id)s AND id = %(token_id)s AND name IS NOT NULL

-- name: bearer
SELECT account_id, id, scopes, last_used_at FROM token WHERE digest = %(digest)s AND expires_at > %(now)s

-- name: note_use
-- Two requests may both find it due; the row of one that somebody revokes at this moment is left alone.
UPDATE token SET last_used_at = %(now)s
 WHERE id = (SELECT id FROM token WHERE id = %(token_id)s FOR UPDATE SKIP LOCKED)
