-- name: counted
SELECT key, failures, since FROM password_guess WHERE key = ANY (%(keys)s) AND since > %(expired)s

-- name: count
-- What was counted before the window starts anew.
INSERT INTO password_guess (key, failures, since) VALUES (%(key)s, 1, %(now)s)
ON CONFLICT (key) DO UPDATE
   SET failures = CASE WHEN password_guess.since > %(expired)s THEN password_guess.failures + 1 ELSE 1 END,
       since = CASE WHEN password_guess.since > %(expired)s THEN password_guess.since ELSE %(now)s END

-- name: forget
DELETE FROM password_guess WHERE key = %(key)s

-- name: forget_expired
-- A few at a time: whoever guesses cleans up behind others. Rows that somebody else counts at this moment are left to them.
DELETE FROM password_guess
 WHERE key IN (SELECT key FROM password_guess WHERE since <= %(expired)s LIMIT 100 FOR UPDATE SKIP LOCKED)
