-- R30: mail that waits for a moderator.
ALTER TABLE account ADD COLUMN moderator boolean NOT NULL DEFAULT false;  -- administrators are moderators without it

-- What makes a message wait: everything that one rule names must be so; one rule is enough.
CREATE TABLE audit_rule (
    id              int PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    organisation_id int NOT NULL REFERENCES organisation,
    name            text NOT NULL,
    group_size      int CHECK (group_size > 0),     -- its groups lead to at least so many accounts
    sender          text,                           -- an address of the sender's, or @ and a domain
    keyword         text,                           -- in subject or text
    external        boolean NOT NULL DEFAULT false, -- some recipient is outside
    UNIQUE (organisation_id, name),
    CHECK (num_nonnulls(group_size, sender, keyword) > 0 OR external)
);

-- Null: it never had to wait. The row's lock decides between release, rejection and recall.
ALTER TABLE message ADD COLUMN hold text CHECK (hold IN ('held', 'released', 'rejected', 'cancelled'));

CREATE TABLE held_message (
    message_id      bigint PRIMARY KEY REFERENCES message ON DELETE CASCADE,
    organisation_id int NOT NULL REFERENCES organisation,
    rule            text NOT NULL,                  -- the name of the rule that it met, as it was then
    held_at         timestamptz NOT NULL,
    decided_by      int REFERENCES account,         -- the moderator, or whoever recalled it
    decided_at      timestamptz,
    reason          text                            -- of a rejection; the sender reads it
);
CREATE INDEX held_and_undecided ON held_message (organisation_id, message_id) WHERE decided_at IS NULL;
