-- What came in, who it was for, and how far its delivery has got.

-- Even numbers: the author's own copy of a message bears the odd number that follows (domain.copies).
CREATE SEQUENCE message_id AS bigint START 2 INCREMENT 2;

CREATE TABLE message (
    id                bigint PRIMARY KEY,
    organisation_id   int REFERENCES organisation,   -- the sender's; null for mail from outside
    sender_account_id int REFERENCES account,        -- null for mail from outside and from the system
    envelope_sender   text NOT NULL,                 -- '' is the null reverse-path of bounces (RFC 5321 section 4.5.5)
    channel           text NOT NULL CHECK (channel IN ('webmail', 'submission', 'lmtp', 'system')),
    accepted_at       timestamptz NOT NULL,
    size              int NOT NULL,                  -- octets of the content
    header_message_id text,                          -- the Message-ID field, for people and bounces; no key
    from_header       text NOT NULL,
    to_header         text NOT NULL,
    subject           text NOT NULL,
    preview           text NOT NULL,                 -- the first words of the text, for lists
    attachments       smallint NOT NULL,
    expanded_at       timestamptz,                   -- when groups became members (R13: those at delivery)
    deliveries_left   int NOT NULL,                  -- expansion, batches, author's copy, relay: what is still to be done
    author_filed_at   timestamptz,                   -- when the author's own copy was
    relayed_at        timestamptz,                   -- when the last external recipient was dealt with
    delivered_at      timestamptz                    -- when everything was; the content is then on the shards only
);
CREATE INDEX message_by_sender ON message (sender_account_id, id) WHERE sender_account_id IS NOT NULL;

-- The bytes, until every shard that needs them has them and every external recipient was relayed to.
CREATE TABLE message_content (
    message_id bigint PRIMARY KEY REFERENCES message ON DELETE CASCADE,
    content    bytea NOT NULL
);
ALTER TABLE message_content ALTER COLUMN content SET STORAGE EXTERNAL;  -- mail is mostly base64: spare the CPU

-- The envelope as the sender wrote it: each address once, in order. Position 0 is nobody's.
CREATE TABLE envelope_recipient (
    message_id bigint NOT NULL REFERENCES message ON DELETE CASCADE,
    position   smallint NOT NULL CHECK (position > 0),
    address    text NOT NULL,
    account_id int REFERENCES account,
    group_id   int REFERENCES mail_group ON DELETE SET NULL,
    kind       text NOT NULL CHECK (kind IN ('account', 'group', 'external')),
    PRIMARY KEY (message_id, position)
);

-- Recipients outside this platform, named directly or as members of a group; `via` is the envelope position that led there.
CREATE TABLE external_recipient (
    message_id bigint NOT NULL REFERENCES message ON DELETE CASCADE,
    address    text NOT NULL,
    via        smallint NOT NULL,                    -- 0: named directly
    relayed_at timestamptz,
    failure    text,                                 -- what the next host said, when it refused for good
    PRIMARY KEY (message_id, address)
);

-- The local recipients of a message, a range of one shard's mailboxes to a row. Arrays, not rows: a hundred thousand
-- recipients are twenty rows here, and no recipient is written twice before the copy itself.
CREATE TABLE delivery_batch (
    message_id   bigint NOT NULL REFERENCES message ON DELETE CASCADE,
    batch        int NOT NULL,
    shard        smallint NOT NULL REFERENCES shard,
    mailbox_ids  int[] NOT NULL,                     -- ascending; no two batches of one message and shard overlap
    via          smallint[] NOT NULL,                -- per mailbox: 0 named directly, else the envelope position of the group
    kinship      smallint[] NOT NULL,                -- per mailbox: domain.policy.Kinship to the sender
    deposited_at timestamptz,
    PRIMARY KEY (message_id, batch)
);
