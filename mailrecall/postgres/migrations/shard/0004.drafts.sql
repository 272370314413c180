-- R28: what somebody is writing. The draft lies in the Drafts folder as an author's copy, under the id that it keeps when it is
-- sent; beside it, what no message can hold: addresses that are not yet any, hidden copies, and the number of the version.
CREATE TABLE draft (
    mailbox_id int NOT NULL,
    copy_id    bigint NOT NULL,
    version    int NOT NULL,                        -- one more each time it is saved: two who save at once do not overwrite
    fields     jsonb NOT NULL,                      -- to, cc, bcc, subject, text, html, as they were typed
    saved_at   timestamptz NOT NULL,
    PRIMARY KEY (mailbox_id, copy_id)
);
