-- name: requested_by
SELECT r.id, r.public_id, r.message_id, r.requested_by, m.subject, r.reason, r.as_administrator, r.requested_at, r.state, r.result, r.settled_at
  FROM recall r JOIN message m ON m.id = r.message_id
 WHERE r.requested_by = %(account_id)s AND (%(before)s::bigint IS NULL OR r.id < %(before)s)
 ORDER BY r.id DESC
 LIMIT %(limit)s

-- name: of_organisation
-- Along the numbers from the newest down: an organisation that recalls little on a server where others recall much waits for it.
SELECT r.id, r.public_id, r.message_id, r.requested_by, m.subject, r.reason, r.as_administrator, r.requested_at, r.state, r.result, r.settled_at
  FROM recall r JOIN message m ON m.id = r.message_id
 WHERE r.organisation_id = %(organisation_id)s AND (%(before)s::bigint IS NULL OR r.id < %(before)s)
 ORDER BY r.id DESC
 LIMIT %(limit)s
