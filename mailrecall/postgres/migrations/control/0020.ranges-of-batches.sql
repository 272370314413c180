-- What a recall has to know of a delivery batch without unpacking its arrays, which are thousands of numbers long.
ALTER TABLE delivery_batch
    ADD COLUMN recipients int GENERATED ALWAYS AS (cardinality(mailbox_ids)) STORED,
    -- the kinship of whoever in it is furthest from the sender: where that is in scope, everybody is (R1)
    ADD COLUMN furthest_kinship smallint GENERATED ALWAYS AS
        (CASE WHEN 2::smallint = ANY (kinship) THEN 2 WHEN 1::smallint = ANY (kinship) THEN 1 ELSE 0 END) STORED;

-- Each deposit asks which of its mailboxes have closed; mostly none has.
CREATE INDEX closed_accounts ON account (id) WHERE closed_at IS NOT NULL;
