-- Work to do, written in the transaction that makes it necessary and deleted in the one that records it done. In between the
-- relay publishes it to the broker, and the reconciler has it published again when it is overdue. Redis may lose all it has.
CREATE TABLE outbox (
    id           bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    task         text NOT NULL,
    queue        text NOT NULL,
    args         jsonb NOT NULL,                    -- ids and numbers only, never an address (R23)
    due_at       timestamptz NOT NULL,
    published_at timestamptz,                       -- null: the relay takes it once it is due
    attempts     int NOT NULL DEFAULT 0,            -- how often it was published since it last failed
    failures     int NOT NULL DEFAULT 0,            -- how often it failed, outages of a server aside
    outages      int NOT NULL DEFAULT 0,            -- how often a server did not answer
    failure      text,                              -- the class of the last error, for operators
    dead         boolean NOT NULL DEFAULT false     -- failed too often: waits for an operator
);
CREATE INDEX outbox_due ON outbox (due_at, id) WHERE published_at IS NULL AND NOT dead;
CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL AND NOT dead;

CREATE FUNCTION outbox_wakes_the_relay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY outbox;
    RETURN NULL;
END $$;
CREATE TRIGGER outbox_wakes_the_relay AFTER INSERT ON outbox
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_wakes_the_relay();
