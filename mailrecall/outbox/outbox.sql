-- name: add
INSERT INTO outbox (task, queue, args, version, trace, due_at)
VALUES (%(task)s, %(queue)s, %(args)s, %(version)s, %(trace)s, %(due_at)s)
RETURNING id

-- name: is_open
SELECT EXISTS (SELECT FROM outbox WHERE id = %(work_id)s AND NOT dead)

-- name: begin
-- Read only: what is published for the first time, as nearly all work is, costs no write.
SELECT attempts > 1, published_at IS NULL FROM outbox WHERE id = %(work_id)s AND NOT dead

-- name: begin_again
-- Tells whether a try before this one, itself not the first, has begun and never ended. Workers that are killed now and then, and
-- work that the broker lost or handed out to two, hardly ever come to that; what kills its workers does with every other try. The
-- broker hands out again what a dead worker had; what was only published again may still run, as long as servers may keep it waiting.
UPDATE outbox o SET begun_at = %(now)s
  FROM (SELECT id, begun_at FROM outbox WHERE id = %(work_id)s AND NOT dead FOR UPDATE) AS before
 WHERE o.id = before.id AND o.published_at IS NOT NULL
RETURNING before.begun_at IS NOT NULL AND (%(redelivered)s OR before.begun_at < %(now)s - make_interval(secs => %(patience)s))

-- name: finish
DELETE FROM outbox WHERE id = %(work_id)s

-- name: take_due
-- Several relays share the table: each skips the rows another one is publishing. The row is marked in the transaction that
-- publishes, so a relay that dies in between leaves the row unpublished; at worst it goes out twice.
UPDATE outbox SET published_at = %(now)s, attempts = attempts + 1
 WHERE id IN (SELECT id FROM outbox
               WHERE published_at IS NULL AND NOT dead AND due_at <= %(now)s
               ORDER BY due_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING id, task, queue, args, version, trace

-- name: publish_again
-- Published, and not finished within the lease: the broker lost it, or the worker died. The lease doubles with each attempt up
-- to 64 times its length, so that a long queue is not filled with its own echoes.
UPDATE outbox SET published_at = NULL, due_at = %(now)s
 WHERE published_at < %(now)s - make_interval(secs => %(lease)s * (1 << least(attempts - 1, 6)))
   AND NOT dead

-- name: fail
-- An outage is nobody's fault: the work is tried again until the server is back, with a pause that grows to a minute and
-- differs from row to row, so that all that waits for one server does not come at once. Anything else may be the work's own:
-- its pause doubles further, and in the end it waits for an operator. One publication fails once: what the broker still holds
-- of an earlier one runs too, and must neither count nor cut the pause short.
UPDATE outbox
   SET failure = %(failure)s, published_at = NULL, attempts = 0, begun_at = NULL,
       failures = failures + CASE WHEN %(outage)s THEN 0 ELSE 1 END,
       outages = outages + CASE WHEN %(outage)s THEN 1 ELSE 0 END,
       dead = NOT %(outage)s AND failures + 1 >= %(most)s,
       due_at = %(now)s + CASE WHEN %(outage)s
                               THEN least(%(first)s * (1 << least(outages, 20)), %(longest_outage)s) * (0.75 + random() / 2)
                               ELSE least(%(first)s * (1 << least(failures, 20)), %(longest)s) END
 WHERE id = %(work_id)s AND published_at IS NOT NULL
RETURNING dead

-- name: put_off
-- As with a failure: one publication puts the work off once.
UPDATE outbox SET failure = %(reason)s, published_at = NULL, attempts = 0, begun_at = NULL, due_at = %(due_at)s
 WHERE id = %(work_id)s AND published_at IS NOT NULL

-- name: backlog
SELECT count(*) FILTER (WHERE NOT dead), count(*) FILTER (WHERE dead), min(due_at) FILTER (WHERE NOT dead) FROM outbox

-- name: put_aside
SELECT id, task, args, failures, failure, due_at FROM outbox WHERE dead AND (%(task)s::text IS NULL OR task = %(task)s)
 ORDER BY id

-- name: lock_put_aside
SELECT id FROM outbox WHERE dead AND id = ANY (%(work_ids)s::bigint[]) FOR UPDATE

-- name: try_again
UPDATE outbox SET dead = false, failures = 0, outages = 0, attempts = 0, begun_at = NULL, published_at = NULL, due_at = %(now)s
 WHERE dead AND id = ANY (%(work_ids)s::bigint[])

-- name: drop
DELETE FROM outbox WHERE dead AND id = ANY (%(work_ids)s::bigint[])
