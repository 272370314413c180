-- name: deliveries_added
UPDATE message SET deliveries_left = deliveries_left + %(added)s WHERE id = %(message_id)s

-- name: deliveries_done
-- The row lock makes exactly one delivery the last; the shards then hold the content, and the spool lets it go.
WITH counted AS (
    UPDATE message SET deliveries_left = deliveries_left - %(done)s,
                       delivered_at = CASE WHEN deliveries_left <= %(done)s THEN %(now)s::timestamptz END
     WHERE id = %(message_id)s
    RETURNING id, deliveries_left
)
DELETE FROM message_content WHERE message_id IN (SELECT id FROM counted WHERE deliveries_left <= 0)
