-- What IMAP needs: UIDs, and copies that their owner made of copies.

-- Null until an IMAP session looks at the folder (RFC 3501 section 2.3.1.1): a deposit writes no UID, whatever its size. The
-- eighth column: the null bitmap stays in one byte. The index leaves out what nobody looked at, so deposits never touch it.
ALTER TABLE copy ADD COLUMN uid int;
CREATE UNIQUE INDEX copy_by_uid ON copy (mailbox_id, folder, uid) WHERE uid IS NOT NULL;

-- A folder that an IMAP session has looked at. Its row is the lock under which UIDs are given, so that they become visible in
-- their order; it is never deleted, so that UIDVALIDITY stays what it was.
CREATE TABLE folder (
    mailbox_id   int NOT NULL,
    folder       smallint NOT NULL,                 -- domain.copies.Folder
    uid_validity bigint NOT NULL,
    next_uid     int NOT NULL DEFAULT 1,
    PRIMARY KEY (mailbox_id, folder)
);

-- A copy that its owner made of a copy (IMAP COPY): a row of `copy` under a message id of its own, which no recall names.
-- Reading it counts for the origin; withdrawing the origin takes it along.
CREATE TABLE duplicate (
    mailbox_id int NOT NULL,
    message_id bigint NOT NULL,
    origin_id  bigint NOT NULL,                     -- never itself a duplicate, and always smaller than message_id
    PRIMARY KEY (mailbox_id, message_id)
);
CREATE INDEX duplicate_by_origin ON duplicate (origin_id, mailbox_id);
