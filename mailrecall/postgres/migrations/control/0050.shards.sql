-- The life of a shard, and the moves of mailboxes between shards.

ALTER TABLE shard ADD COLUMN takes_new boolean NOT NULL DEFAULT true;   -- false: not opened yet, or being drained

-- Some mailboxes on their way from one shard to another: the journal by which an interrupted move is ended.
CREATE TABLE move (
    id          bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    from_shard  smallint NOT NULL REFERENCES shard,
    to_shard    smallint NOT NULL REFERENCES shard,
    mailbox_ids int[] NOT NULL,
    -- copying: the mailboxes live where they were, whatever the other shard has got; leaving: they may have left, and what the
    -- control database says of them may be about to change; done; abandoned: it came to nothing
    state       text NOT NULL CHECK (state IN ('copying', 'leaving', 'done', 'abandoned')),
    began_at    timestamptz NOT NULL,
    ended_at    timestamptz
);
CREATE UNIQUE INDEX one_move_leaves ON move ((true)) WHERE state = 'leaving';
CREATE INDEX move_unfinished ON move (id) WHERE state IN ('copying', 'leaving');

-- Batches that a move cuts off others are numbered from here (domain.batches): what they hold is not all that lies in their range.
CREATE SEQUENCE moved_batch AS int START 1000000;

-- What reads or writes batches by where their mailboxes are waits here for a move that is changing it, and learns whether one
-- was interrupted in the middle. In a function, because each of its statements sees what was committed before it.
CREATE FUNCTION placement_is_steady() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1942, 0);
    RETURN NOT EXISTS (SELECT FROM move WHERE state = 'leaving');
END $$;
