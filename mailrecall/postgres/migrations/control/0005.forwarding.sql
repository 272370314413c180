-- R4: an account can have all its mail passed on.
CREATE TABLE forwarding (
    account_id int PRIMARY KEY REFERENCES account ON DELETE CASCADE,
    target     text NOT NULL,                       -- where the mail goes: one address, here or outside
    keep_copy  boolean NOT NULL                     -- whether the account's own mailbox shows it too
);

-- A message that an account's rule passes on, written with the deposit of the account's copy: so once, however often that runs.
CREATE TABLE forward (
    message_id         bigint NOT NULL REFERENCES message ON DELETE CASCADE,
    account_id         int NOT NULL REFERENCES account,
    target             text NOT NULL,               -- as the rule was when the copy was deposited
    done_at            timestamptz,
    forward_message_id bigint REFERENCES message,   -- null once done: it could not go there, and the account was told
    PRIMARY KEY (message_id, account_id)
);

ALTER TABLE message DROP CONSTRAINT message_channel_check;
ALTER TABLE message ADD CONSTRAINT message_channel_check
    CHECK (channel IN ('webmail', 'submission', 'lmtp', 'system', 'forwarded'));
