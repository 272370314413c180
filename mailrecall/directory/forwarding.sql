-- name: rule_of
SELECT target, keep_copy FROM forwarding WHERE account_id = %(account_id)s

-- name: rules_between
-- By range: a batch's mailboxes are one, and a list of thousands would be compared with each rule in turn.
SELECT account_id, target, keep_copy FROM forwarding WHERE account_id BETWEEN %(first)s AND %(last)s ORDER BY account_id

-- name: set_rule
INSERT INTO forwarding (account_id, target, keep_copy) VALUES (%(account_id)s, %(target)s, %(keep_copy)s)
ON CONFLICT (account_id) DO UPDATE SET target = excluded.target, keep_copy = excluded.keep_copy

-- name: remove_rule
DELETE FROM forwarding WHERE account_id = %(account_id)s
