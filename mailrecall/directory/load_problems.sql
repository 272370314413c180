-- What keeps a load from going through, each statement giving the list, the line, and what to tell. They run once everything that
-- could be inserted was, so that a reference is looked up in one place, whether it was there before or came with the files.

-- name: named_twice
SELECT list, line, format('%%s is listed twice; the first time in line %%s of the %%s.', name, first_line, first_list)
  FROM (SELECT list, line, name, row_number() OVER same AS nth,
               first_value(line) OVER same AS first_line, first_value(list) OVER same AS first_list
          FROM (SELECT 'organisations' AS list, line, name, 0 AS place FROM staged_organisation
                UNION ALL SELECT 'domains', line, name, 1 FROM staged_domain
                UNION ALL SELECT 'accounts', line, address, 2 FROM staged_account
                UNION ALL SELECT 'groups', line, address, 2 FROM staged_group
                UNION ALL SELECT 'aliases', line, address, 2 FROM staged_alias) AS named
        WINDOW same AS (PARTITION BY place, name ORDER BY list, line)) AS counted
 WHERE nth > 1
 ORDER BY list, line
 LIMIT %(limit)s

-- name: domain_without_organisation
SELECT 'domains', s.line, format('There is no organisation ''%%s''; list it first.', s.organisation)
  FROM staged_domain s
 WHERE NOT EXISTS (SELECT FROM organisation WHERE organisation.name = s.organisation)
 ORDER BY s.line
 LIMIT %(limit)s

-- name: domain_taken
SELECT 'domains', s.line, format('The domain %%s belongs to the organisation ''%%s''.', s.name, o.name)
  FROM staged_domain s JOIN domain d ON d.name = s.name JOIN organisation o ON o.id = d.organisation_id
 WHERE o.name <> s.organisation
 ORDER BY s.line
 LIMIT %(limit)s

-- name: domain_with_external_members
SELECT 'domains', s.line,
       format('Groups have members at %%s as external addresses, such as %%s; remove those members first.',
              s.name, min(m.external_address))
  FROM staged_domain s JOIN group_member m ON split_part(m.external_address, '@', -1) = s.name
 GROUP BY s.line, s.name
 ORDER BY s.line
 LIMIT %(limit)s

-- name: domain_unknown
SELECT list, line, format('''%%s'' is no domain of this platform; list it with its organisation.', domain)
  FROM (SELECT 'accounts' AS list, line, domain FROM staged_account
        UNION ALL SELECT 'groups', line, domain FROM staged_group
        UNION ALL SELECT 'aliases', line, domain FROM staged_alias) AS named
 WHERE NOT EXISTS (SELECT FROM domain WHERE domain.name = named.domain)
 ORDER BY list, line
 LIMIT %(limit)s

-- name: account_taken
SELECT 'accounts', s.line, format('The address %%s is taken by %%s.', s.address,
                                  CASE WHEN a.is_alias THEN 'an alias' ELSE 'a group' END)
  FROM staged_account s JOIN address a ON a.address = s.address
 WHERE a.is_alias OR a.account_id IS NULL
 ORDER BY s.line
 LIMIT %(limit)s

-- name: group_taken
SELECT 'groups', s.line, format('The address %%s is taken by %%s.', s.address,
                                CASE WHEN a.is_alias THEN 'an alias' ELSE 'an account' END)
  FROM staged_group s JOIN address a ON a.address = s.address
 WHERE a.is_alias OR a.group_id IS NULL
 ORDER BY s.line
 LIMIT %(limit)s

-- name: alias_without_target
SELECT 'aliases', s.line, format('There is no account or group %%s; list it first.', s.target)
  FROM staged_alias s
 WHERE NOT EXISTS (SELECT FROM address own WHERE own.address = s.target AND NOT own.is_alias)
 ORDER BY s.line
 LIMIT %(limit)s

-- name: alias_taken
SELECT 'aliases', s.line, format('The address %%s is taken by %%s.', s.address,
                                 CASE WHEN a.is_alias THEN 'an alias of another account or group'
                                      WHEN a.account_id IS NOT NULL THEN 'an account' ELSE 'a group' END)
  FROM staged_alias s
  JOIN address own ON own.address = s.target AND NOT own.is_alias
  JOIN address a ON a.address = s.address
 WHERE NOT a.is_alias OR (a.account_id, a.group_id) IS DISTINCT FROM (own.account_id, own.group_id)
 ORDER BY s.line
 LIMIT %(limit)s

-- name: group_unknown
SELECT 'members', line, format('There is no group %%s; list it first.', group_address)
  FROM found_member WHERE group_id IS NULL
 ORDER BY line
 LIMIT %(limit)s

-- name: member_unknown
-- Nobody in a domain of ours: an external address would be mailed in vain.
SELECT 'members', line, format('%%s does not exist; list the account or group first.', address)
  FROM found_member WHERE num_nulls(account_id, member_group_id) = 2 AND domain_id IS NOT NULL
 ORDER BY line
 LIMIT %(limit)s
