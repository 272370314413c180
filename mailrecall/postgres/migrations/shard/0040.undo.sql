-- R26: putting back what a recall took.

-- A batch that was put back, with its counts: what a second run of the same task returns.
CREATE TABLE restoration (
    recall_id bigint NOT NULL,
    batch     int NOT NULL,
    restored  int,                                  -- null only inside the writing transaction
    gone      int,
    done_at   timestamptz NOT NULL,
    PRIMARY KEY (recall_id, batch)
);

-- The copies that owners had made of withdrawn copies: they went along, and come back along.
CREATE TABLE withdrawn_duplicate (
    recall_id  bigint NOT NULL,
    batch      int NOT NULL,
    mailbox_id int NOT NULL,
    message_id bigint NOT NULL,
    origin_id  bigint NOT NULL,
    folder     smallint NOT NULL,
    flags      smallint NOT NULL,
    PRIMARY KEY (recall_id, mailbox_id, message_id)
);
