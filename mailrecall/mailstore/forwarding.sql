-- name: mark
-- Only a copy that is there is marked: one that a recall took first, or kept from being deposited, is not forwarded (R16).
WITH forwarded AS (
    UPDATE copy AS c
       SET facts = c.facts | r.facts, touched_at = coalesce(c.touched_at, %(now)s)
      FROM unnest(%(mailbox_ids)s::int[], %(targets)s::text[], %(facts)s::smallint[]) AS r (mailbox_id, target, facts)
     WHERE c.mailbox_id = r.mailbox_id AND c.message_id = %(message_id)s
    RETURNING c.mailbox_id, r.target
)
INSERT INTO forward (message_id, mailbox_id, batch, target)
SELECT %(message_id)s, mailbox_id, %(batch)s, target FROM forwarded
ON CONFLICT DO NOTHING

-- name: marked
SELECT mailbox_id, target FROM forward WHERE message_id = %(message_id)s AND batch = %(batch)s ORDER BY mailbox_id
