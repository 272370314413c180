-- Recalls: what was asked, and the counts of what happened. The outcomes themselves lie beside the copies, on the shards.

CREATE TABLE recall (
    id                bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    public_id         uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    message_id        bigint NOT NULL UNIQUE REFERENCES message,   -- R12: one recall a message
    organisation_id   int NOT NULL REFERENCES organisation,
    requested_by      int NOT NULL REFERENCES account,
    as_administrator  boolean NOT NULL,
    reason            text NOT NULL,                -- R11: never shown to recipients
    policy            jsonb NOT NULL,               -- the organisation's switches as they were when the request was judged
    requested_at      timestamptz NOT NULL,
    deadline_at       timestamptz NOT NULL,         -- R9: a shard that has not answered by then is unreachable
    state             text NOT NULL DEFAULT 'accepted' CHECK (state IN ('accepted', 'running', 'settled')),
    result            text CHECK (result IN ('succeeded', 'partial', 'failed')),
    batches_left      int,                          -- null before the plan
    external          int NOT NULL DEFAULT 0,       -- recipients outside the platform (local ones out of scope are in batches)
    settled_at        timestamptz,
    notice_message_id bigint,                       -- R17: the tombstone's message id, where the policy wants one
    report_message_id bigint REFERENCES message,    -- R18: set in the transaction that accepts the report mail, so once
    author_report_message_id bigint REFERENCES message
);
CREATE INDEX recall_by_requester ON recall (requested_by, requested_at);
CREATE INDEX recall_unsettled ON recall (deadline_at) WHERE state <> 'settled';

-- One row for each delivery batch of the recalled message: the same number, shard and mailboxes. A shard that does not answer
-- by the deadline is unreachable where it had got the copies; where it had not, they are assumed to be recalled (R16), and the
-- withdrawal stays due until the shard has confirmed it.
CREATE TABLE recall_batch (
    recall_id  bigint NOT NULL REFERENCES recall ON DELETE CASCADE,
    batch      int NOT NULL,
    shard      smallint NOT NULL,
    recipients int NOT NULL,
    state      text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'unreachable', 'assumed')),
    counts     jsonb,                               -- {"via": {"outcome": n}}, via 0 being those named directly
    done_at    timestamptz,
    PRIMARY KEY (recall_id, batch)
);
