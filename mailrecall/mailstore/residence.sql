-- name: enter_mailbox
SELECT enter_mailbox(%(mailbox_id)s)

-- name: enter_batches
SELECT enter_batches(%(message_id)s)

-- name: some_absent
SELECT EXISTS (SELECT FROM absence WHERE mailbox_id = ANY (%(mailbox_ids)s::int[]))

-- name: shard_of
-- On the control database.
SELECT shard FROM account WHERE id = %(mailbox_id)s
