-- Mailboxes that moved: the fence on the shard itself. Whoever uses a mailbox or a batch asks in its own transaction here, so
-- it does not matter what it believes, nor whether the control database can be reached.

-- A mailbox that is not on this shard: it left, or it is only arriving. No row: it is here, or never was.
CREATE TABLE absence (
    mailbox_id int PRIMARY KEY,
    move_id    bigint NOT NULL                      -- the control database's move
);

-- The last move that this shard took part in: a mover that was given up for dead, and was not, finds a later one here.
CREATE TABLE last_move (
    id   bigint NOT NULL,
    single boolean PRIMARY KEY DEFAULT true CHECK (single)
);
INSERT INTO last_move (id) VALUES (0);

-- A received copy that came by a move, with the batch that holds it here: it may lie in the range of another one.
CREATE TABLE moved_copy (
    message_id bigint NOT NULL,
    mailbox_id int NOT NULL,
    batch      int NOT NULL,
    PRIMARY KEY (message_id, mailbox_id)
);
CREATE INDEX moved_copy_by_mailbox ON moved_copy (mailbox_id);

-- How an arriving move divides batches; the control database does the same once the mailboxes have left.
CREATE TABLE division (
    move_id     bigint NOT NULL,
    message_id  bigint NOT NULL,
    batch       int NOT NULL,
    new_batch   int NOT NULL PRIMARY KEY,
    mailbox_ids int[] NOT NULL
);
CREATE INDEX division_of_move ON division (move_id);

-- Functions, because each of their statements sees what was committed while the one before it waited. The locks last until the
-- caller's transaction ends; a move takes the same ones for itself.
CREATE FUNCTION enter_mailbox(mailbox int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1940, mailbox);
    RETURN NOT EXISTS (SELECT FROM absence WHERE mailbox_id = mailbox);
END $$;

-- Returns whether copies of the message came here by a move.
CREATE FUNCTION enter_batches(message bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1940, 0);
    RETURN EXISTS (SELECT FROM moved_copy WHERE message_id = message);
END $$;
