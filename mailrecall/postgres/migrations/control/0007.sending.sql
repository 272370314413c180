-- R28: how long somebody can change their mind after sending, in seconds.
ALTER TABLE account ADD COLUMN undo_send smallint NOT NULL DEFAULT 10 CHECK (undo_send BETWEEN 0 AND 60);

-- A message that goes out later than it was accepted. Until then its author can take it back, draft and all.
CREATE TABLE sending (
    message_id bigint PRIMARY KEY REFERENCES message ON DELETE CASCADE,
    due_at     timestamptz NOT NULL,
    work_ids   bigint[] NOT NULL                    -- of the outbox; while all of it is unpublished, nothing has happened
);
