-- R4: copies that their account's rule passes on, written with the copy's fact. What stands here was forwarded, whatever
-- becomes of the rule; the control database accepts the forwards when it learns of the deposit.
CREATE TABLE forward (
    message_id bigint NOT NULL,
    mailbox_id int NOT NULL,
    batch      int NOT NULL,
    target     text NOT NULL,
    PRIMARY KEY (message_id, mailbox_id)
);
