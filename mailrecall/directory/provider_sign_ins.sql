-- name: begin
INSERT INTO provider_sign_in (state, browser, nonce, verifier, target, expires_at)
VALUES (%(state)s, %(browser)s, %(nonce)s, %(verifier)s, %(target)s, %(expires_at)s)

-- name: take
-- Deleting is what makes it come back once: of two answers with one state only one finds the row.
DELETE FROM provider_sign_in
 WHERE state = %(state)s AND browser = %(browser)s AND expires_at > %(now)s
RETURNING nonce, verifier, target

-- name: forget_expired
-- A few at a time: whoever begins cleans up behind others. Rows that somebody else deletes at this moment are left to them.
DELETE FROM provider_sign_in
 WHERE state IN (SELECT state FROM provider_sign_in WHERE expires_at <= %(now)s LIMIT 100 FOR UPDATE SKIP LOCKED)

-- name: account_of
-- As with a password: only an address that was given out signs in, its own or an alias.
SELECT a.id FROM address JOIN account a ON a.id = address.account_id
 WHERE address.address = %(address)s AND a.closed_at IS NULL
