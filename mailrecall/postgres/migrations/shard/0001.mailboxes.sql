-- A shard: the copies of its mailboxes, each message's content once, and the ledger of what recalls did to the copies.

CREATE TABLE body (
    id      bigint PRIMARY KEY,                     -- the message id under which it first came to this shard
    content bytea NOT NULL
);
ALTER TABLE body ALTER COLUMN content SET STORAGE EXTERNAL;

-- What lists show, once per message and shard, so that a copy stays a thin row.
CREATE TABLE message (
    id          bigint PRIMARY KEY,
    body_id     bigint NOT NULL,                    -- a body; no foreign key: a lock on one hot row for each deposit
    accepted_at timestamptz NOT NULL,
    size        int NOT NULL,
    from_header text NOT NULL,
    to_header   text NOT NULL,
    subject     text NOT NULL,
    preview     text NOT NULL,
    attachments smallint NOT NULL
);

-- One recipient's copy. Withdrawing deletes the row; the recipient's own deletion only adds a fact, so that the row still
-- says to whom the message went until it is purged. Narrow on purpose: eight columns keep the null bitmap in one byte.
CREATE TABLE copy (
    mailbox_id int NOT NULL,
    folder     smallint NOT NULL,                   -- domain.copies.Folder
    via        smallint NOT NULL,                   -- 0 named directly, else the envelope position of the group
    message_id bigint NOT NULL,
    facts      smallint NOT NULL DEFAULT 0,         -- domain.copies.Fact: only ever added to
    flags      smallint NOT NULL DEFAULT 0,         -- domain.copies.Flag
    touched_at timestamptz,                         -- when the first fact was added
    PRIMARY KEY (mailbox_id, message_id)
);
CREATE INDEX copy_by_message ON copy (message_id, mailbox_id);

-- A delivery batch that was deposited here, or that a recall withdrew before it could be (R16). Whoever inserts the row
-- decides: a deposit that comes second serves only those whom the recall did not reach, whatever the order of arrival.
CREATE TABLE deposit (
    message_id bigint NOT NULL,
    batch      int NOT NULL,
    recall_id  bigint,                              -- the recall that came first; null: deposited
    PRIMARY KEY (message_id, batch)
);

-- A withdrawn batch with its counts: what a second delivery of the same task returns.
CREATE TABLE withdrawal (
    recall_id bigint NOT NULL,
    batch     int NOT NULL,
    counts    jsonb,                                -- {"via": {"outcome": n}}; null only inside the writing transaction
    done_at   timestamptz NOT NULL,
    PRIMARY KEY (recall_id, batch)
);

-- The outcome ledger: one row for each local recipient of a recall, written with the deletion it tells of.
CREATE TABLE outcome (
    recall_id  bigint NOT NULL,
    mailbox_id int NOT NULL,
    outcome    smallint NOT NULL,                   -- domain.outcomes.Outcome
    via        smallint NOT NULL,
    folder     smallint,                            -- with the flags, enough to restore the copy (R26); null: it never lay here
    flags      smallint,
    batch      int NOT NULL,
    PRIMARY KEY (recall_id, mailbox_id)
);
