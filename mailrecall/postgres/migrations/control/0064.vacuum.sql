-- When autovacuum comes, as on the shards (0062 there): not after a fifth of tables that grow with the mail and the recalls. No
-- fillfactor: what is updated here mostly is so within moments of its insertion, when its page still has room; and the outbox has
-- indexes of what changes.

-- Every row is updated and deleted. Mostly empty; but what waits for a shard that is away can be a million rows, and the relay
-- passes over the dead ones among them each time it looks.
ALTER TABLE outbox SET (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.01);

-- Every row is updated, a recall's or a message's all in one go.
ALTER TABLE recall_batch SET (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.01);
ALTER TABLE delivery_batch SET (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.01);
ALTER TABLE message SET (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.01);

-- Only added to: frozen in small portions, not in one that takes hours.
ALTER TABLE envelope_recipient SET (autovacuum_vacuum_insert_scale_factor = 0.02);
ALTER TABLE audit_record SET (autovacuum_vacuum_insert_scale_factor = 0.02);
