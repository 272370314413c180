-- name: accounts
SELECT count(*) FROM account

-- name: new_password
UPDATE account SET password_hash = %(password_hash)s WHERE id <= 1000

-- name: insert_company
-- Whoever measures asks for more recalls in an hour than a person would, and nobody else has to approve of them.
WITH organisation AS (
    INSERT INTO organisation (name, policy)
    VALUES ('Bench', '{"recalls_per_hour": 1000000, "approval_above": 100000000}') RETURNING id
)
INSERT INTO domain (name, organisation_id) SELECT %(domain)s, id FROM organisation RETURNING organisation_id, id

-- name: copy_accounts
COPY account (id, organisation_id, domain_id, display_name, password_hash, shard) FROM STDIN

-- name: copy_addresses
COPY address (address, account_id) FROM STDIN

-- name: insert_group
WITH made AS (
    INSERT INTO mail_group (organisation_id, display_name) VALUES (%(organisation_id)s, 'Everybody') RETURNING id
)
INSERT INTO address (address, group_id) SELECT %(address)s, id FROM made RETURNING group_id

-- name: copy_members
COPY group_member (group_id, account_id) FROM STDIN

-- name: next_account
SELECT setval(pg_get_serial_sequence('account', 'id'), (SELECT max(id) FROM account))

-- name: copy_copies
COPY copy (mailbox_id, folder, via, message_id, facts, flags) FROM STDIN

-- name: vacuum_shard
VACUUM (ANALYZE) copy, message, body

-- name: vacuum_control
VACUUM (ANALYZE) account, address, group_member
