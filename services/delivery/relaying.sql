-- name: try_lock
-- One relay a message at a time: a second delivery of the task, while the first still talks to the smarthost, must not send
-- everything twice. The lock ends with the transaction, however that ends; the talking may take longer than a transaction
-- usually may sit idle.
SELECT pg_try_advisory_xact_lock(hashtextextended('relay', %(message_id)s)),
       set_config('idle_in_transaction_session_timeout', '0', true)

-- name: message_to_relay
SELECT m.envelope_sender, c.content, coalesce(m.expanded_at, m.accepted_at)
  FROM message m JOIN message_content c ON c.message_id = m.id
 WHERE m.id = %(message_id)s

-- name: recipients_left
SELECT address FROM external_recipient
 WHERE message_id = %(message_id)s AND relayed_at IS NULL AND failure IS NULL
 ORDER BY address

-- name: relayed
UPDATE external_recipient SET relayed_at = %(now)s
 WHERE message_id = %(message_id)s AND address = ANY (%(addresses)s) AND relayed_at IS NULL

-- name: refused
-- Only what was not refused before is returned, and only that bounces.
UPDATE external_recipient AS e SET failure = refused.failure
  FROM unnest(%(addresses)s::text[], %(failures)s::text[]) AS refused (address, failure)
 WHERE e.message_id = %(message_id)s AND e.address = refused.address
   AND e.relayed_at IS NULL AND e.failure IS NULL
RETURNING e.address, e.failure

-- name: message_to_bounce
-- The header fields are at the beginning; the rest of a large message is not read for them.
SELECT m.envelope_sender, m.accepted_at, substring(c.content FROM 1 FOR 65536)
  FROM message m LEFT JOIN message_content c ON c.message_id = m.id
 WHERE m.id = %(message_id)s
