-- name: recipients
SELECT coalesce(sum(recipients), 0) FROM recall_batch WHERE recall_id = %(recall_id)s
