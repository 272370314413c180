-- name: copy_copies
COPY copy (mailbox_id, folder, via, message_id, facts, flags) FROM STDIN

-- name: withdraw
WITH withdrawn AS (
    DELETE FROM copy
     WHERE message_id = %(message_id)s AND mailbox_id BETWEEN %(first)s AND %(last)s AND facts & {BLOCKING} = 0
    RETURNING mailbox_id, via, folder, flags
)
INSERT INTO outcome (recall_id, mailbox_id, outcome, via, folder, flags, batch)
SELECT %(recall_id)s, mailbox_id, {RECALLED}, via, folder, flags, %(batch)s FROM withdrawn

-- name: classify_rest
INSERT INTO outcome (recall_id, mailbox_id, outcome, via, folder, flags, batch)
SELECT %(recall_id)s, mailbox_id, {OUTCOME_CASE}, via, folder, flags, %(batch)s
  FROM copy
 WHERE message_id = %(message_id)s AND mailbox_id BETWEEN %(first)s AND %(last)s
