-- name: forget_expired
DELETE FROM web_session WHERE account_id = %(account_id)s AND expires_at <= %(now)s

-- name: begin
INSERT INTO web_session (digest, account_id, created_at, seen_at, expires_at)
VALUES (%(digest)s, %(account_id)s, %(now)s, %(now)s, %(expires_at)s)

-- name: find
SELECT s.account_id, s.created_at, s.seen_at, s.notices, a.pages_language, a.time_zone, a.moderator
  FROM web_session s JOIN account a ON a.id = s.account_id
 WHERE s.digest = %(digest)s AND s.expires_at > %(now)s AND a.closed_at IS NULL

-- name: prolong
UPDATE web_session SET seen_at = %(now)s, expires_at = %(expires_at)s WHERE digest = %(digest)s

-- name: end
DELETE FROM web_session WHERE digest = %(digest)s

-- name: end_all
DELETE FROM web_session WHERE account_id = %(account_id)s

-- name: add_notice
-- The last few: a browser that sends forms and never shows a page would have the row grow without end.
UPDATE web_session
   SET notices = CASE WHEN jsonb_array_length(notices) >= {most_notices} THEN notices - 0 ELSE notices END || %(notice)s
 WHERE digest = %(digest)s

-- name: clear_notices
UPDATE web_session SET notices = '[]' WHERE digest = %(digest)s AND notices <> '[]'

-- name: choose_language
-- The account's own language is that of the reports (R18): who reads pages in one reads reports in it.
UPDATE account SET pages_language = %(language)s, language = %(language)s WHERE id = %(account_id)s

-- name: choose_time_zone
UPDATE account SET time_zone = %(time_zone)s WHERE id = %(account_id)s
