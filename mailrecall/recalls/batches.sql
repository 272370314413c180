-- name: subjects
-- What each message is judged by, as `requests.subject` has it for one.
SELECT m.id, m.sender_account_id, m.organisation_id, m.channel, m.accepted_at,
       CASE WHEN m.expanded_at IS NOT NULL
            THEN EXISTS (SELECT FROM delivery_batch d WHERE d.message_id = m.id AND d.kinship && %(in_scope)s::smallint[])
            ELSE EXISTS (SELECT FROM envelope_recipient e
                           LEFT JOIN account a ON a.id = e.account_id LEFT JOIN account s ON s.id = m.sender_account_id
                          WHERE e.message_id = m.id
                            AND (e.kind = 'group'
                                 OR e.kind = 'account'
                                    AND CASE WHEN a.domain_id = s.domain_id THEN 0
                                             WHEN a.organisation_id = m.organisation_id THEN 1
                                             ELSE 2 END = ANY (%(in_scope)s::smallint[])))
       END AS local_recipients,
       r.id AS recall_id, r.requested_by, r.organisation_id
  FROM message m LEFT JOIN recall r ON r.message_id = m.id AND r.undone_at IS NULL
 WHERE m.id = ANY (%(message_ids)s)

-- name: insert_request
INSERT INTO recall_request (organisation_id, requested_by, reason, only_unread, policy, requested_at, copies, approval, lapses_at)
VALUES (%(organisation_id)s, %(requested_by)s, %(reason)s, %(only_unread)s, %(policy)s, %(requested_at)s, %(copies)s,
        %(approval)s, %(lapses_at)s)
RETURNING id

-- name: insert_messages
-- R12: a recall that there is already is the answer from the first: were it undone before the request's turn comes, another one
-- would begin, which nobody judged and nobody approved.
INSERT INTO requested_message (request_id, position, message_id, refusal, closed_at, as_administrator, recall_id)
SELECT %(request_id)s, position, message_id, refusal, closed_at, as_administrator, recall_id
  FROM unnest(%(message_ids)s::bigint[], %(refusals)s::text[], %(closed_at)s::timestamptz[], %(as_administrator)s::boolean[],
              %(recall_ids)s::bigint[])
       WITH ORDINALITY AS m (message_id, refusal, closed_at, as_administrator, recall_id, position)

-- name: waiting_for_message
-- R12: who asks again for a message that waits for approval gets the request there is.
SELECT q.id
  FROM requested_message m JOIN recall_request q ON q.id = m.request_id
 WHERE m.message_id = %(message_id)s AND m.refusal IS NULL AND m.recall_id IS NULL
   AND q.approval = 'waiting' AND q.lapses_at >= %(now)s AND q.organisation_id = %(organisation_id)s
 ORDER BY q.id LIMIT 1

-- name: lock_open
-- Messages that a deposit holds this moment are passed over: they come with the next attempt, and hold up nobody else. The lock is
-- the one that a single request takes (R16).
SELECT m.id
  FROM message m
 WHERE m.id IN (SELECT message_id FROM requested_message
                 WHERE request_id = %(request_id)s AND refusal IS NULL AND recall_id IS NULL)
   AND NOT EXISTS (SELECT FROM recall r WHERE r.message_id = m.id AND r.undone_at IS NULL)
 ORDER BY m.id
   FOR UPDATE SKIP LOCKED

-- name: vanished
-- R28: taken back by their author while they waited.
UPDATE requested_message q SET refusal = 'not_found'
 WHERE q.request_id = %(request_id)s AND q.refusal IS NULL AND q.recall_id IS NULL
   AND NOT EXISTS (SELECT FROM message m WHERE m.id = q.message_id)
RETURNING q.message_id

-- name: insert_recalls
INSERT INTO recall (message_id, organisation_id, requested_by, as_administrator, reason, policy, requested_at, deadline_at,
                    notice_message_id, request_id)
SELECT m.message_id, q.organisation_id, q.requested_by, m.as_administrator, q.reason, q.policy, q.requested_at, %(deadline_at)s,
       CASE WHEN (q.policy ->> 'tombstone')::boolean THEN nextval('message_id') END, q.id
  FROM recall_request q JOIN requested_message m ON m.request_id = q.id
 WHERE q.id = %(request_id)s AND m.message_id = ANY (%(message_ids)s)
ON CONFLICT (message_id) WHERE undone_at IS NULL DO NOTHING
RETURNING id, message_id

-- name: link
-- R12: also those that somebody else has asked for meanwhile.
UPDATE requested_message m SET recall_id = r.id
  FROM recall r
 WHERE m.request_id = %(request_id)s AND m.refusal IS NULL AND m.recall_id IS NULL
   AND r.message_id = m.message_id AND r.undone_at IS NULL
RETURNING r.id, r.message_id

-- name: reopenable
-- R12: settled ones with batches that no shard answered for. The rest has nothing to be tried again, or runs. With their messages,
-- as a single request locks one: of all or nothing a deposit may be going by the verdict that another attempt takes back (R13).
SELECT r.id FROM recall r JOIN message m ON m.id = r.message_id
 WHERE r.id = ANY (%(recall_ids)s) AND r.state = 'settled'
   AND EXISTS (SELECT FROM recall_batch b WHERE b.recall_id = r.id AND (b.state = 'unreachable' OR b.counts @? '$.*.unreachable'))
 ORDER BY m.id
   FOR UPDATE OF m SKIP LOCKED

-- name: left_open
SELECT count(*) FROM requested_message WHERE request_id = %(request_id)s AND refusal IS NULL AND recall_id IS NULL

-- name: lock_request
SELECT q.id, q.organisation_id, q.requested_by, q.reason, q.approval, q.lapses_at
  FROM recall_request q
 WHERE q.id = %(request_id)s
   FOR UPDATE

-- name: id_of
SELECT id FROM recall_request WHERE public_id = %(public_id)s

-- name: decide
UPDATE recall_request SET approval = %(approval)s, decided_by = %(decided_by)s, decided_at = %(now)s
 WHERE id = %(request_id)s AND approval = 'waiting'

-- name: refuse_open
-- What was not approved is refused for that reason, each message by itself.
UPDATE requested_message SET refusal = 'approval_required'
 WHERE request_id = %(request_id)s AND refusal IS NULL AND recall_id IS NULL

-- name: stuck
-- Nothing should ever be found here: requests whose messages wait for no one, and that nobody has work for. What was put aside waits
-- for an operator.
SELECT q.id
  FROM recall_request q
 WHERE q.id IN (SELECT request_id FROM requested_message WHERE refusal IS NULL AND recall_id IS NULL)
   AND (q.approval IS NULL OR q.approval = 'approved') AND coalesce(q.decided_at, q.requested_at) < %(before)s
   AND NOT EXISTS (SELECT FROM outbox o
                    WHERE o.task = 'recall.admit' AND (o.args ->> 'request_id')::bigint = q.id)
 ORDER BY q.id LIMIT 100

-- name: overdue
SELECT id FROM recall_request WHERE approval = 'waiting' AND lapses_at < %(now)s ORDER BY lapses_at LIMIT 100

-- name: view
SELECT q.id, q.public_id, q.organisation_id, q.requested_by, own.address AS asked_by, q.reason, q.only_unread, q.requested_at,
       q.copies, q.approval, q.lapses_at, q.decided_at, decider.address AS decided_by
  FROM recall_request q
  JOIN address own ON own.account_id = q.requested_by AND NOT own.is_alias
  LEFT JOIN address decider ON decider.account_id = q.decided_by AND NOT decider.is_alias
 WHERE q.id = ANY (%(request_ids)s)

-- name: list
-- Newest first; all of an organisation, or those that wait.
SELECT q.id, q.public_id, q.organisation_id, q.requested_by, own.address AS asked_by, q.reason, q.only_unread, q.requested_at,
       q.copies, q.approval, q.lapses_at, q.decided_at, decider.address AS decided_by
  FROM recall_request q
  JOIN address own ON own.account_id = q.requested_by AND NOT own.is_alias
  LEFT JOIN address decider ON decider.account_id = q.decided_by AND NOT decider.is_alias
 WHERE q.organisation_id = %(organisation_id)s AND q.id < %(before)s
   AND (NOT %(waiting)s OR q.approval = 'waiting' AND q.lapses_at >= %(now)s)
 ORDER BY q.id DESC
 LIMIT %(limit)s

-- name: progress
-- R22: all there is to say of the progress of some requests, in one go: their messages, their recalls, and the outcomes of all
-- of them. However many requests are watched, it is one statement.
SELECT asked.id, i.messages, i.refused, i.accepted,
       r.settled, r.succeeded, r.partial, r.failed,
       r.external, coalesce(b.recipients, 0) AS local, coalesce(o.outcomes, '{}') AS outcomes
  FROM unnest(%(request_ids)s::bigint[]) AS asked (id)
 CROSS JOIN LATERAL (
       SELECT count(*) AS messages, count(refusal) AS refused, count(recall_id) AS accepted
         FROM requested_message WHERE request_id = asked.id) AS i
 CROSS JOIN LATERAL (
       SELECT count(*) FILTER (WHERE state = 'settled') AS settled,
              count(*) FILTER (WHERE result = 'succeeded') AS succeeded,
              count(*) FILTER (WHERE result = 'partial') AS partial,
              count(*) FILTER (WHERE result = 'failed') AS failed,
              coalesce(sum(external), 0)::bigint AS external
         FROM recall WHERE id IN (SELECT recall_id FROM requested_message WHERE request_id = asked.id)) AS r
 CROSS JOIN LATERAL (
       SELECT sum(recipients)::bigint AS recipients
         FROM recall_batch
        WHERE recall_id IN (SELECT recall_id FROM requested_message WHERE request_id = asked.id)) AS b
 CROSS JOIN LATERAL (
       SELECT jsonb_object_agg(outcome, n) AS outcomes
         FROM (SELECT one.key AS outcome, sum(one.value::bigint) AS n
                 FROM recall_batch, jsonb_each(counts) AS via, jsonb_each_text(via.value) AS one
                WHERE recall_id IN (SELECT recall_id FROM requested_message WHERE request_id = asked.id)
                GROUP BY one.key) AS counted) AS o

-- name: messages
-- R24: of a message that was not found nothing is told, for it may be somebody else's. Of any number of requests at once: those
-- who watch them are told of each message.
SELECT q.request_id, q.position, q.message_id, q.refusal, q.closed_at, r.public_id AS recall, r.state, r.result,
       CASE WHEN q.refusal IS DISTINCT FROM 'not_found' THEN m.subject END AS subject
  FROM requested_message q
  LEFT JOIN recall r ON r.id = q.recall_id
  LEFT JOIN message m ON m.id = q.message_id
 WHERE q.request_id = ANY (%(request_ids)s) AND q.position > %(after)s
 ORDER BY q.request_id, q.position
 LIMIT %(limit)s
