-- name: rules_of
SELECT id, name, group_size, sender, keyword, external FROM audit_rule WHERE organisation_id = %(organisation_id)s ORDER BY id

-- name: add_rule
INSERT INTO audit_rule (organisation_id, name, group_size, sender, keyword, external)
VALUES (%(organisation_id)s, %(name)s, %(group_size)s, %(sender)s, %(keyword)s, %(external)s)
ON CONFLICT DO NOTHING
RETURNING id

-- name: remove_rule
DELETE FROM audit_rule WHERE organisation_id = %(organisation_id)s AND id = %(rule_id)s

-- name: set_moderator
UPDATE account SET moderator = %(moderator)s WHERE id = %(account_id)s

-- name: is_moderator
SELECT moderator FROM account WHERE id = %(account_id)s
