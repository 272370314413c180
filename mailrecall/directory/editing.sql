-- name: lock
-- One edit of the directory at a time: two that are harmless alone could close a cycle, or fill one shard, together.
-- Readers are not held up. The number is this lock's name and nothing else.
SELECT pg_advisory_xact_lock(7_305_417)

-- name: add_organisation
INSERT INTO organisation (name, policy) VALUES (%(name)s, %(policy)s) ON CONFLICT DO NOTHING RETURNING id

-- name: organisation_by_name
SELECT id, name FROM organisation WHERE name = %(name)s

-- name: organisation_domains
SELECT name FROM domain WHERE organisation_id = %(organisation_id)s ORDER BY name

-- name: policy_for_update
SELECT policy FROM organisation WHERE id = %(organisation_id)s FOR UPDATE

-- name: set_policy
UPDATE organisation SET policy = %(policy)s WHERE id = %(organisation_id)s

-- name: external_members_at
-- Members taken as external while the domain was not ours: they would never be asked for again.
SELECT external_address FROM group_member
 WHERE external_address IS NOT NULL AND split_part(external_address, '@', -1) = %(domain)s
 ORDER BY external_address LIMIT 1

-- name: add_domain
INSERT INTO domain (name, organisation_id) VALUES (%(name)s, %(organisation_id)s) ON CONFLICT DO NOTHING RETURNING id

-- name: domain
SELECT id, organisation_id FROM domain WHERE name = %(name)s

-- name: add_account
INSERT INTO account (organisation_id, domain_id, display_name, password_hash, language, administrator, shard)
VALUES (%(organisation_id)s, %(domain_id)s, %(display_name)s, %(password_hash)s, %(language)s, %(administrator)s, %(shard)s)
RETURNING id

-- name: add_group
INSERT INTO mail_group (organisation_id, display_name) VALUES (%(organisation_id)s, %(display_name)s) RETURNING id

-- name: add_address
INSERT INTO address (address, account_id, group_id, is_alias)
VALUES (%(address)s, %(account_id)s, %(group_id)s, %(is_alias)s)
ON CONFLICT DO NOTHING RETURNING address

-- name: set_password
UPDATE account SET password_hash = %(password_hash)s WHERE id = %(account_id)s AND closed_at IS NULL

-- name: close_account
UPDATE account SET closed_at = %(now)s WHERE id = %(account_id)s AND closed_at IS NULL

-- name: undo_send_of
SELECT undo_send FROM account WHERE id = %(account_id)s

-- name: set_undo_send
UPDATE account SET undo_send = %(seconds)s WHERE id = %(account_id)s

-- name: aliases_of_account
SELECT address FROM address WHERE account_id = %(account_id)s AND is_alias ORDER BY address

-- name: groups_of_account
SELECT own.address
  FROM group_member m JOIN address own ON own.group_id = m.group_id AND NOT own.is_alias
 WHERE m.account_id = %(account_id)s
 ORDER BY 1
