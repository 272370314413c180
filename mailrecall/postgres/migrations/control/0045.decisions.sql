-- R13, all_or_nothing: this row says for all shards at once whether a recall's copies go or stay. Written once, never changed.
CREATE TABLE decision (
    recall_id  bigint NOT NULL,                     -- no foreign key: whoever decides must not wait for the recall's row
    attempt    int NOT NULL,
    verdict    text NOT NULL CHECK (verdict IN ('commit', 'release')),
    decided_at timestamptz NOT NULL,
    PRIMARY KEY (recall_id, attempt)
);

-- R12: a recall that a silent shard kept from going is tried again as a whole, and decided anew.
ALTER TABLE recall ADD COLUMN attempt int NOT NULL DEFAULT 1;

-- The attempt for which the batch's shard has said that every copy qualifies, and holds them; 0: none yet.
ALTER TABLE recall_batch ADD COLUMN prepared_attempt int NOT NULL DEFAULT 0;
