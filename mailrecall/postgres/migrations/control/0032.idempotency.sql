-- Answers to requests that bore an Idempotency-Key, kept for a day: the same request again gets the same answer, and does nothing.
-- While `status` is null the request is being worked on, by whoever drew `attempt`.
CREATE TABLE idempotency_key (
    account_id int NOT NULL REFERENCES account ON DELETE CASCADE,
    key        bytea NOT NULL,                      -- digests: what a client makes a key of is its own affair
    request    bytea NOT NULL,
    attempt    uuid NOT NULL,
    begun_at   timestamptz NOT NULL,
    status     smallint,
    headers    jsonb,
    body       jsonb,
    PRIMARY KEY (account_id, key)
);
CREATE INDEX idempotency_key_age ON idempotency_key (begun_at);
