-- name: claim
-- Whoever inserts this row decides the batch: a deposit, or a recall that came first (R16). The loser waits for the winner's
-- transaction. A deposit that knows of a recall writes it down: what gets no copy now was recalled before it was delivered.
INSERT INTO deposit (message_id, batch, recall_id) VALUES (%(message_id)s, %(batch)s, %(recall_id)s) ON CONFLICT DO NOTHING

-- name: claim_back
-- R13: what a recall claimed while it was undecided is free again once it was decided to leave everything as it is.
INSERT INTO deposit (message_id, batch, recall_id) VALUES (%(message_id)s, %(batch)s, NULL)
ON CONFLICT (message_id, batch) DO UPDATE SET recall_id = NULL WHERE deposit.recall_id = %(recall_id)s

-- name: insert_copies_left_alone
-- R16 and R1: after a recall that came first, only those out of its scope still get their copy.
INSERT INTO copy (mailbox_id, folder, via, message_id, flags)
SELECT mailbox_id, %(folder)s, via, %(message_id)s, %(flags)s
  FROM unnest(%(mailbox_ids)s::int[], %(via)s::smallint[]) AS r (mailbox_id, via)
ON CONFLICT DO NOTHING

-- name: store_body
INSERT INTO body (id, content) VALUES (%(body_id)s, %(content)s) ON CONFLICT DO NOTHING

-- name: store_message
INSERT INTO message (id, body_id, accepted_at, size, from_header, to_header, subject, preview, attachments)
VALUES (%(message_id)s, %(body_id)s, %(accepted_at)s, %(size)s, %(from_header)s, %(to_header)s, %(subject)s, %(preview)s,
        %(attachments)s)
ON CONFLICT DO NOTHING

-- name: has_body
SELECT EXISTS (SELECT FROM body WHERE id = %(body_id)s)

-- name: copy_copies
-- In the order of the mailboxes, so that a message's rows lie together.
COPY copy (mailbox_id, folder, via, message_id, flags) FROM STDIN

-- name: insert_copies
-- No join, so no plan that could turn bad; in the order of the mailboxes, so that a message's rows lie together.
INSERT INTO copy (mailbox_id, folder, via, message_id, flags)
SELECT mailbox_id, %(folder)s, via, %(message_id)s, %(flags)s
  FROM unnest(%(mailbox_ids)s::int[], %(via)s::smallint[]) AS r (mailbox_id, via)

-- name: insert_author_copy
INSERT INTO copy (mailbox_id, folder, via, message_id, flags)
VALUES (%(mailbox_id)s, %(folder)s, 0, %(copy_id)s, %(flags)s)
ON CONFLICT DO NOTHING
