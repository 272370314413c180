-- What those who watch recalls are told, of any number of recalls at once.

-- name: recalls
SELECT r.id, r.public_id, r.message_id, r.organisation_id, r.requested_by, r.as_administrator, r.reason, r.policy,
       r.requested_at, r.deadline_at, r.state, r.result, r.settled_at, r.external, r.report_message_id,
       r.author_report_message_id, m.subject
  FROM recall r JOIN message m ON m.id = r.message_id
 WHERE r.id = ANY (%(recall_ids)s)

-- name: batches
SELECT recall_id, recipients, counts FROM recall_batch WHERE recall_id = ANY (%(recall_ids)s)

-- name: externals
SELECT message_id, via, count(*) FROM external_recipient WHERE message_id = ANY (%(message_ids)s) GROUP BY message_id, via
