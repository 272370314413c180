-- name: create_staging
-- What the files list, line by line; every check and every insert below works on whole lists at once.
CREATE TEMP TABLE staged_organisation (line int, name text, policy jsonb) ON COMMIT DROP;
CREATE TEMP TABLE staged_domain (line int, name text, organisation text) ON COMMIT DROP;
CREATE TEMP TABLE staged_account (
    line int, address text, domain text, display_name text, language text, administrator boolean, password_hash text
) ON COMMIT DROP;
CREATE TEMP TABLE staged_group (line int, address text, domain text, display_name text) ON COMMIT DROP;
CREATE TEMP TABLE staged_alias (line int, address text, domain text, target text) ON COMMIT DROP;
CREATE TEMP TABLE staged_member (line int, group_address text, address text, untagged text, domain text) ON COMMIT DROP;
CREATE TEMP TABLE new_account (
    id int, nth bigint, organisation_id int, domain_id int, address text, display_name text, language text,
    administrator boolean, password_hash text
) ON COMMIT DROP;
CREATE TEMP TABLE new_group (id int, organisation_id int, address text, display_name text) ON COMMIT DROP;
CREATE TEMP TABLE new_organisation (id int, policy jsonb) ON COMMIT DROP;
CREATE TEMP TABLE found_member (
    line int, group_id int, group_address text, account_id int, member_group_id int, address text, domain_id int
) ON COMMIT DROP;

-- name: drop_staging
DROP TABLE staged_organisation, staged_domain, staged_account, staged_group, staged_alias, staged_member,
           new_account, new_group, new_organisation, found_member

-- name: stage_organisations
COPY staged_organisation (line, name, policy) FROM STDIN

-- name: stage_domains
COPY staged_domain (line, name, organisation) FROM STDIN

-- name: stage_accounts
COPY staged_account (line, address, domain, display_name, language, administrator, password_hash) FROM STDIN

-- name: stage_groups
COPY staged_group (line, address, domain, display_name) FROM STDIN

-- name: stage_aliases
COPY staged_alias (line, address, domain, target) FROM STDIN

-- name: stage_members
COPY staged_member (line, group_address, address, untagged, domain) FROM STDIN

-- name: analyze_staging
ANALYZE staged_domain, staged_account, staged_group, staged_alias, staged_member

-- name: insert_organisations
-- What is there already stays as it is, here and below: a load only adds.
WITH inserted AS (
    INSERT INTO organisation (name, policy)
    SELECT name, policy FROM staged_organisation ORDER BY line
    ON CONFLICT DO NOTHING
    RETURNING id, policy
)
INSERT INTO new_organisation (id, policy) SELECT id, policy FROM inserted

-- name: new_policies
SELECT id, policy FROM new_organisation WHERE policy <> '{}' ORDER BY id

-- name: insert_domains
INSERT INTO domain (name, organisation_id)
SELECT s.name, o.id FROM staged_domain s JOIN organisation o ON o.name = s.organisation ORDER BY s.line
ON CONFLICT DO NOTHING

-- name: find_new_accounts
INSERT INTO new_account
SELECT nextval(pg_get_serial_sequence('account', 'id')), row_number() OVER (ORDER BY s.line, s.address),
       d.organisation_id, d.id, s.address, s.display_name, s.language, s.administrator, s.password_hash
  FROM staged_account s JOIN domain d ON d.name = s.domain
 WHERE NOT EXISTS (SELECT FROM address WHERE address.address = s.address)

-- name: insert_accounts
INSERT INTO account (id, organisation_id, domain_id, display_name, password_hash, language, administrator, shard)
SELECT n.id, n.organisation_id, n.domain_id, n.display_name, n.password_hash, n.language, n.administrator, placed.shard
  FROM new_account n JOIN unnest(%(shards)s::smallint[]) WITH ORDINALITY AS placed (shard, nth) USING (nth)

-- name: insert_account_addresses
INSERT INTO address (address, account_id) SELECT address, id FROM new_account ON CONFLICT DO NOTHING

-- name: find_new_groups
INSERT INTO new_group
SELECT nextval(pg_get_serial_sequence('mail_group', 'id')), d.organisation_id, s.address, s.display_name
  FROM staged_group s JOIN domain d ON d.name = s.domain
 WHERE NOT EXISTS (SELECT FROM address WHERE address.address = s.address)
 ORDER BY s.line

-- name: insert_groups
INSERT INTO mail_group (id, organisation_id, display_name) SELECT id, organisation_id, display_name FROM new_group

-- name: insert_group_addresses
INSERT INTO address (address, group_id) SELECT address, id FROM new_group ON CONFLICT DO NOTHING

-- name: insert_aliases
INSERT INTO address (address, account_id, group_id, is_alias)
SELECT s.address, own.account_id, own.group_id, true
  FROM staged_alias s
  JOIN domain d ON d.name = s.domain
  JOIN address own ON own.address = s.target AND NOT own.is_alias
ON CONFLICT DO NOTHING

-- name: find_members
-- As lookup.sql resolves: an address that was given out as it is wins over the same one without its tag (R1).
INSERT INTO found_member
SELECT s.line, container.group_id, s.group_address, coalesce(given.account_id, tagless.account_id),
       coalesce(given.group_id, tagless.group_id), s.address, d.id
  FROM staged_member s
  LEFT JOIN address container ON container.address = s.group_address AND container.group_id IS NOT NULL
  LEFT JOIN address given ON given.address = s.address
  LEFT JOIN address tagless ON tagless.address = s.untagged AND given.address IS NULL
  LEFT JOIN domain d ON d.name = s.domain

-- name: nesting
-- Every group in a group: those that the files add with their lines, and those there are.
SELECT container.address, member.address, edge.line
  FROM (SELECT group_id, member_group_id, line FROM found_member
        UNION ALL
        SELECT group_id, member_group_id, NULL FROM group_member) AS edge
  JOIN address container ON container.group_id = edge.group_id AND NOT container.is_alias
  JOIN address member ON member.group_id = edge.member_group_id AND NOT member.is_alias

-- name: insert_members
INSERT INTO group_member (group_id, account_id, member_group_id, external_address)
SELECT DISTINCT group_id, account_id, member_group_id,
       CASE WHEN num_nulls(account_id, member_group_id) = 2 THEN address END
  FROM found_member
ON CONFLICT DO NOTHING

-- name: new_with_password
SELECT id, address FROM new_account WHERE address = ANY (%(addresses)s)

-- name: set_password_hash
UPDATE account SET password_hash = %(password_hash)s WHERE id = %(account_id)s

-- name: analyze
-- Without this the planner takes a freshly loaded directory for an empty one until autovacuum comes by.
ANALYZE organisation, domain, account, mail_group, address, group_member
