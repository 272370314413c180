-- R27: the audit trail. Every organisation has a chain of its own (docs/adr/0024), so that no organisation waits for another.

-- Where a chain ends. The row's lock, held until the commit, gives a chain's records their order.
CREATE TABLE audit_chain (
    organisation_id int PRIMARY KEY,                -- no foreign key: the trail outlives what it tells of
    records         bigint NOT NULL,
    head            bytea NOT NULL                  -- the hash of the last record
);

CREATE TABLE audit_record (
    organisation_id int NOT NULL,
    number          bigint NOT NULL,                -- 1, 2, 3 … without gaps
    at              timestamptz NOT NULL,
    event           text NOT NULL,                  -- domain.trail.Event
    actor           text NOT NULL CHECK (actor IN ('account', 'operator', 'system')),
    account_id      int CHECK ((account_id IS NOT NULL) = (actor = 'account')),
    recall_id       bigint,
    message_id      bigint,
    details         jsonb NOT NULL,                 -- counts, reasons, switches; never an address of a recalled recipient (R23)
    previous        bytea NOT NULL,                 -- the hash of the record before
    hash            bytea NOT NULL,                 -- sha256 of all of this (domain.trail)
    PRIMARY KEY (organisation_id, number)
);
CREATE INDEX audit_record_of_recall ON audit_record (recall_id, number) WHERE recall_id IS NOT NULL;

CREATE FUNCTION audit_trail_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail only grows (R27): % of % is refused', lower(TG_OP), TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE FUNCTION audit_chain_only_advances() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.organisation_id <> OLD.organisation_id OR NEW.records <> OLD.records + 1 THEN
        RAISE EXCEPTION 'the audit trail only grows (R27): a chain advances by one record at a time'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER only_grows BEFORE UPDATE OR DELETE ON audit_record
    FOR EACH ROW EXECUTE FUNCTION audit_trail_only_grows();
CREATE TRIGGER is_not_emptied BEFORE TRUNCATE ON audit_record
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trail_only_grows();
CREATE TRIGGER only_advances BEFORE UPDATE ON audit_chain
    FOR EACH ROW EXECUTE FUNCTION audit_chain_only_advances();
CREATE TRIGGER stays BEFORE DELETE ON audit_chain
    FOR EACH ROW EXECUTE FUNCTION audit_trail_only_grows();
CREATE TRIGGER is_not_emptied BEFORE TRUNCATE ON audit_chain
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trail_only_grows();
-- a session that passes for a replica does not get around them
ALTER TABLE audit_record ENABLE ALWAYS TRIGGER only_grows;
ALTER TABLE audit_record ENABLE ALWAYS TRIGGER is_not_emptied;
ALTER TABLE audit_chain ENABLE ALWAYS TRIGGER only_advances;
ALTER TABLE audit_chain ENABLE ALWAYS TRIGGER stays;
ALTER TABLE audit_chain ENABLE ALWAYS TRIGGER is_not_emptied;

-- Where the services do not connect as a superuser, they lack the right to begin with, though they own the tables.
REVOKE UPDATE, DELETE, TRUNCATE ON audit_record FROM PUBLIC, CURRENT_USER;
REVOKE DELETE, TRUNCATE ON audit_chain FROM PUBLIC, CURRENT_USER;
