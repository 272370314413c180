-- name: account_by_id
SELECT {account_columns} FROM {account_tables} WHERE a.id = %(account_id)s

-- name: account_by_address
-- An address that was given out as it is wins over the same one without its tag (R1).
WITH hit AS (
    SELECT account_id FROM address
     WHERE address IN (%(address)s, %(untagged)s)
     ORDER BY address = %(address)s DESC
     LIMIT 1
)
SELECT {account_columns} FROM {account_tables} WHERE a.id = (SELECT account_id FROM hit)

-- name: addresses_of
SELECT account_id, address FROM address WHERE account_id = ANY (%(account_ids)s) AND NOT is_alias

-- name: account_by_token
SELECT {account_columns} FROM {account_tables}
 WHERE a.id = (SELECT account_id FROM token WHERE digest = %(digest)s AND expires_at > %(now)s AND scopes IS NULL)
   AND a.closed_at IS NULL

-- name: password_of
-- Only an address that was given out signs in, its own or an alias; a tag is for receiving.
SELECT a.id, a.password_hash
  FROM address JOIN account a ON a.id = address.account_id
 WHERE address.address = %(address)s AND a.closed_at IS NULL

-- name: resolve
-- Every join goes through a unique index, so that a generic plan stays linear in the number of addresses asked.
SELECT asked.position,
       CASE WHEN a.id IS NOT NULL AND a.closed_at IS NULL THEN 'account'
            WHEN a.id IS NOT NULL THEN 'closed'
            WHEN own_of_group.group_id IS NOT NULL THEN 'group'
            WHEN d.id IS NOT NULL THEN 'unknown'
            ELSE 'external' END,
       coalesce(own_of_account.address, own_of_group.address, asked.address),
       a.id,
       own_of_group.group_id
  FROM unnest(%(addresses)s::text[], %(untagged)s::text[], %(domains)s::text[])
       WITH ORDINALITY AS asked (address, untagged, domain, position)
  LEFT JOIN address given ON given.address = asked.address
  LEFT JOIN address tagless ON tagless.address = asked.untagged AND given.address IS NULL
  LEFT JOIN account a ON a.id = coalesce(given.account_id, tagless.account_id)
  LEFT JOIN address own_of_account ON own_of_account.account_id = a.id AND NOT own_of_account.is_alias
  LEFT JOIN address own_of_group
         ON own_of_group.group_id = coalesce(given.group_id, tagless.group_id) AND NOT own_of_group.is_alias
  LEFT JOIN domain d ON d.name = asked.domain

-- name: policy_of
SELECT policy FROM organisation WHERE id = %(organisation_id)s
