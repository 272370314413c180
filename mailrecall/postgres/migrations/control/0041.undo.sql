-- R26: an administrator's undo of a recall, and what is left of it when the time for that is over.

ALTER TABLE recall
    ADD COLUMN undone_at    timestamptz,            -- every copy is back: what is asked for now is another recall (R12)
    ADD COLUMN purged_at    timestamptz,            -- what was taken cannot be put back any more
    ADD COLUMN purge_due_at timestamptz;            -- when the purge looks again; null: in its own time

-- R12: one recall a message, until it is undone.
ALTER TABLE recall DROP CONSTRAINT recall_message_id_key;
CREATE UNIQUE INDEX recall_of_message ON recall (message_id) WHERE undone_at IS NULL;
CREATE INDEX recall_by_message ON recall (message_id, id);

CREATE TABLE undo (
    recall_id    bigint PRIMARY KEY REFERENCES recall ON DELETE CASCADE,
    requested_by int NOT NULL REFERENCES account,
    requested_at timestamptz NOT NULL,
    reason       text,
    batches_left int NOT NULL,
    restored_at  timestamptz
);
CREATE INDEX undo_unfinished ON undo (recall_id) WHERE restored_at IS NULL;

-- One row for each batch of the recall. Counts are null until the shard has put its copies back.
CREATE TABLE undo_batch (
    recall_id bigint NOT NULL REFERENCES undo ON DELETE CASCADE,
    batch     int NOT NULL,
    shard     smallint NOT NULL,
    restored  int,
    gone      int,                                  -- copies whose mailbox was closed meanwhile
    done_at   timestamptz,
    PRIMARY KEY (recall_id, batch),
    CHECK (num_nulls(restored, gone, done_at) IN (0, 3))
);
