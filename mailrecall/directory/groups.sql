-- name: add_member
INSERT INTO group_member (group_id, account_id, member_group_id, external_address)
VALUES (%(group_id)s, %(account_id)s, %(member_group_id)s, %(external_address)s)
ON CONFLICT DO NOTHING

-- name: remove_member
DELETE FROM group_member
 WHERE group_id = %(group_id)s
   AND (account_id = %(account_id)s OR member_group_id = %(member_group_id)s OR external_address = %(external_address)s)

-- name: nesting_below
-- The groups inside a group, at any depth, with the groups that are their members. UNION ends the walk, whatever the graph.
WITH RECURSIVE inside AS (
    SELECT %(group_id)s::int AS group_id
    UNION
    SELECT m.member_group_id FROM inside JOIN group_member m USING (group_id) WHERE m.member_group_id IS NOT NULL
)
SELECT container.address, member.address
  FROM inside
  JOIN group_member m ON m.group_id = inside.group_id AND m.member_group_id IS NOT NULL
  JOIN address container ON container.group_id = m.group_id AND NOT container.is_alias
  JOIN address member ON member.group_id = m.member_group_id AND NOT member.is_alias

-- name: members
SELECT coalesce(account.address, nested.address, m.external_address),
       CASE WHEN m.account_id IS NOT NULL THEN 'account' WHEN m.member_group_id IS NOT NULL THEN 'group' ELSE 'external' END
  FROM group_member m
  LEFT JOIN address account ON account.account_id = m.account_id AND NOT account.is_alias
  LEFT JOIN address nested ON nested.group_id = m.member_group_id AND NOT nested.is_alias
 WHERE m.group_id = %(group_id)s
 ORDER BY 2, 1

-- name: group
SELECT g.id, g.organisation_id, own.address, g.display_name
  FROM mail_group g JOIN address own ON own.group_id = g.id AND NOT own.is_alias
 WHERE g.id = %(group_id)s

-- name: reach
-- How many accounts a message to the group goes to: each once, however many ways lead there (R13).
WITH RECURSIVE inside AS (
    SELECT %(group_id)s::int AS group_id
    UNION
    SELECT m.member_group_id FROM inside JOIN group_member m USING (group_id) WHERE m.member_group_id IS NOT NULL
)
SELECT count(DISTINCT a.id)
  FROM inside JOIN group_member m USING (group_id) JOIN account a ON a.id = m.account_id
 WHERE a.closed_at IS NULL
