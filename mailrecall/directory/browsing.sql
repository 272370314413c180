-- R24: every statement names the organisation, and shows nothing of another one, not even by way of groups that reach into it.
-- Texts are looked for with strpos: whatever is typed stands for itself.

-- name: walk_accounts
-- By address from a place on, `bound` accounts at most: those of each domain by index, then the first of all. What was typed is looked
-- for in these alone; how many they were tells whether there can be more.
WITH walked AS MATERIALIZED (
    SELECT own.account_id, own.address
      FROM domain d
      CROSS JOIN LATERAL (SELECT account_id, address FROM address
                           WHERE split_part(address, '@', -1) = d.name AND account_id IS NOT NULL AND NOT is_alias
                             AND address > %(after)s
                           ORDER BY address LIMIT %(bound)s) own
     WHERE d.organisation_id = %(organisation_id)s
     ORDER BY own.address LIMIT %(bound)s
)
SELECT (SELECT count(*) FROM walked), ARRAY(
    SELECT w.account_id
      FROM walked w
     WHERE %(text)s::text IS NULL
        OR strpos(w.address, %(folded)s) > 0
        OR (SELECT strpos(lower(display_name), lower(%(text)s)) FROM account WHERE id = w.account_id) > 0
        OR EXISTS (SELECT FROM address alias
                    WHERE alias.account_id = w.account_id AND alias.is_alias AND strpos(alias.address, %(folded)s) > 0)
     ORDER BY w.address LIMIT %(limit)s)

-- name: find_accounts
-- What is too rare to be met on a short walk. Both tables are read from end to end, once or twice. An index of parts of texts, as that of
-- subjects, would make loading a directory several times as slow.
WITH found AS MATERIALIZED (
    SELECT account_id FROM address WHERE account_id IS NOT NULL AND strpos(address, %(folded)s) > 0
    UNION
    SELECT id FROM account WHERE organisation_id = %(organisation_id)s AND strpos(lower(display_name), lower(%(text)s)) > 0
)
SELECT own.account_id
  FROM found
  JOIN account a ON a.id = found.account_id AND a.organisation_id = %(organisation_id)s
  JOIN address own ON own.account_id = a.id AND NOT own.is_alias
 WHERE own.address > %(after)s
 ORDER BY own.address
 LIMIT %(limit)s

-- name: accounts
-- In the order of the ids, with the first few of their aliases and of the groups that name them.
SELECT a.id, own.address, a.display_name, {administrator} AS administrator, a.closed_at IS NOT NULL AS closed,
       ARRAY(SELECT address FROM address WHERE account_id = a.id AND is_alias ORDER BY address LIMIT %(few)s) AS aliases,
       ARRAY(SELECT (SELECT address FROM address WHERE group_id = g.id AND NOT is_alias)
               FROM group_member m
               JOIN mail_group g ON g.id = m.group_id AND g.organisation_id = %(organisation_id)s
              WHERE m.account_id = a.id
              ORDER BY 1 LIMIT %(few)s) AS groups
  FROM unnest(%(ids)s::int[]) WITH ORDINALITY AS asked (id, position)
  JOIN account a ON a.id = asked.id AND a.organisation_id = %(organisation_id)s
  JOIN address own ON own.account_id = a.id AND NOT own.is_alias
 ORDER BY asked.position

-- name: groups
-- By address from a place on, those of each domain by index; without a text as many as are shown, else all until enough are found.
SELECT own.group_id
  FROM domain d
  CROSS JOIN LATERAL (SELECT group_id, address FROM address
                       WHERE split_part(address, '@', -1) = d.name AND group_id IS NOT NULL AND NOT is_alias
                         AND address > %(after)s
                       ORDER BY address LIMIT CASE WHEN %(text)s::text IS NULL THEN %(limit)s END) own
  JOIN mail_group g ON g.id = own.group_id
 WHERE d.organisation_id = %(organisation_id)s
   AND (%(text)s::text IS NULL
        OR strpos(own.address, %(folded)s) > 0
        OR strpos(lower(g.display_name), lower(%(text)s)) > 0
        OR EXISTS (SELECT FROM address alias
                    WHERE alias.group_id = g.id AND alias.is_alias AND strpos(alias.address, %(folded)s) > 0))
 ORDER BY own.address
 LIMIT %(limit)s

-- name: groups_by_id
-- In the order of the ids. Direct members are counted as far as `countable`: a list is no place to count millions.
SELECT g.id, own.address, g.display_name,
       ARRAY(SELECT address FROM address WHERE group_id = g.id AND is_alias ORDER BY address LIMIT %(few)s) AS aliases,
       (SELECT count(*) FROM (SELECT FROM group_member WHERE group_id = g.id LIMIT %(countable)s) AS some_members) AS members
  FROM unnest(%(ids)s::int[]) WITH ORDINALITY AS asked (id, position)
  JOIN mail_group g ON g.id = asked.id AND g.organisation_id = %(organisation_id)s
  JOIN address own ON own.group_id = g.id AND NOT own.is_alias
 ORDER BY asked.position

-- name: groups_around
-- The groups that an account or a group is in, directly first, then those that contain these. UNION ends the walk, whatever the graph.
WITH RECURSIVE around AS (
    SELECT m.group_id, true AS direct
      FROM group_member m JOIN mail_group g ON g.id = m.group_id AND g.organisation_id = %(organisation_id)s
     WHERE m.account_id = %(account_id)s OR m.member_group_id = %(group_id)s
    UNION
    SELECT m.group_id, false
      FROM around
      JOIN group_member m ON m.member_group_id = around.group_id
      JOIN mail_group g ON g.id = m.group_id AND g.organisation_id = %(organisation_id)s
)
SELECT around.group_id AS id, own.address, g.display_name, bool_or(around.direct) AS direct
  FROM around
  JOIN mail_group g ON g.id = around.group_id
  JOIN address own ON own.group_id = g.id AND NOT own.is_alias
 GROUP BY around.group_id, own.address, g.display_name
 ORDER BY NOT bool_or(around.direct), own.address
 LIMIT %(limit)s

-- name: groups_within
-- A group with the groups inside it, at any depth. Who is in another organisation's groups is theirs to know.
WITH RECURSIVE inside AS (
    SELECT id FROM mail_group WHERE id = %(group_id)s AND organisation_id = %(organisation_id)s
    UNION
    SELECT g.id
      FROM inside
      JOIN group_member m ON m.group_id = inside.id
      JOIN mail_group g ON g.id = m.member_group_id AND g.organisation_id = %(organisation_id)s
)
SELECT id FROM inside

-- name: members
-- Each member of any of some groups once: groups, then accounts, then those outside, each by address from a place on; none of a kind
-- whose place is null. To be planned for its values each time: a large group's members are met on a walk along the addresses, a small
-- group's are looked up and sorted.
SELECT kind, id, address, display_name, closed FROM (
    (SELECT 0 AS kind, g.id, own.address, g.display_name, false AS closed
       FROM mail_group g JOIN address own ON own.group_id = g.id AND NOT own.is_alias
      WHERE own.address > %(groups_after)s AND g.organisation_id = %(organisation_id)s
        AND EXISTS (SELECT FROM group_member m WHERE m.member_group_id = g.id AND m.group_id = ANY (%(group_ids)s))
      ORDER BY own.address LIMIT %(limit)s)
    UNION ALL
    (SELECT 1, a.id, own.address, a.display_name, a.closed_at IS NOT NULL
       FROM account a JOIN address own ON own.account_id = a.id AND NOT own.is_alias
      WHERE own.address > %(accounts_after)s AND a.organisation_id = %(organisation_id)s
        AND (%(closed_too)s OR a.closed_at IS NULL)
        AND EXISTS (SELECT FROM group_member m WHERE m.account_id = a.id AND m.group_id = ANY (%(group_ids)s))
      ORDER BY own.address LIMIT %(limit)s)
    UNION ALL
    (SELECT DISTINCT 2, NULL::int, m.external_address, '', false
       FROM group_member m
      WHERE m.external_address > %(outside_after)s AND m.group_id = ANY (%(group_ids)s)
      ORDER BY m.external_address LIMIT %(limit)s)
) AS member
 ORDER BY kind, address
 LIMIT %(limit)s

-- name: reach
-- How many a message to the group goes to, each once, however many ways lead there (R13). Of what belongs to another organisation
-- only that it is there.
SELECT count(DISTINCT m.account_id) FILTER (WHERE a.organisation_id = %(organisation_id)s AND a.closed_at IS NULL) AS accounts,
       count(DISTINCT m.external_address) AS outside,
       count(DISTINCT m.account_id) FILTER (WHERE a.organisation_id <> %(organisation_id)s AND a.closed_at IS NULL)
       + count(DISTINCT m.member_group_id) FILTER (WHERE g.organisation_id <> %(organisation_id)s) AS elsewhere
  FROM group_member m
  LEFT JOIN account a ON a.id = m.account_id
  LEFT JOIN mail_group g ON g.id = m.member_group_id
 WHERE m.group_id = ANY (%(group_ids)s)
