-- R13, all_or_nothing: batches whose copies all qualify, and which wait for the decision in the control database. While the
-- row stands, each of the batch's copies bears domain.copies.PREPARED: both come and go in one transaction.
CREATE TABLE prepared (
    recall_id   bigint NOT NULL,
    batch       int NOT NULL,
    attempt     int NOT NULL,
    message_id  bigint NOT NULL,
    first       int NOT NULL,                       -- mailboxes, both included
    last        int NOT NULL,
    prepared_at timestamptz NOT NULL,               -- readers wait for the decision from then on, and not for long
    PRIMARY KEY (recall_id, batch)
);
CREATE INDEX prepared_by_message ON prepared (message_id);

-- A recall can be tried again as a whole; its ledger is then written anew.
ALTER TABLE withdrawal ADD COLUMN attempt int NOT NULL DEFAULT 1;
