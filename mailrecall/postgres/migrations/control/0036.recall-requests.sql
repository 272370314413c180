-- R21: what an administrator asks for in one go: many messages, or so many copies that a second administrator has to agree.
CREATE TABLE recall_request (
    id              bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    public_id       uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    organisation_id int NOT NULL REFERENCES organisation,
    requested_by    int NOT NULL REFERENCES account,
    reason          text NOT NULL,                  -- R11
    only_unread     boolean NOT NULL,               -- R20: nothing goes of a message of which some copy has to stay
    policy          jsonb NOT NULL,                 -- as when it was judged; its recalls keep it
    requested_at    timestamptz NOT NULL,           -- when it was judged, once (R3)
    copies          bigint NOT NULL,                -- what `approval_above` was compared with
    approval        text CHECK (approval IN ('waiting', 'approved', 'rejected', 'lapsed')),  -- null: it needs none
    lapses_at       timestamptz,
    decided_by      int REFERENCES account,         -- null: nobody, or it lapsed
    decided_at      timestamptz,
    CHECK ((approval IS NULL) = (lapses_at IS NULL)),
    CHECK (decided_by IS DISTINCT FROM requested_by)
);
CREATE INDEX recall_request_waiting ON recall_request (organisation_id, id) WHERE approval = 'waiting';
CREATE INDEX recall_request_lapsing ON recall_request (lapses_at) WHERE approval = 'waiting';
CREATE INDEX recall_request_by_requester ON recall_request (requested_by, requested_at);
CREATE INDEX recall_request_by_organisation ON recall_request (organisation_id, id);

-- One message of a request with what came of it: a refusal, a recall, or nothing yet.
CREATE TABLE requested_message (
    request_id bigint NOT NULL REFERENCES recall_request ON DELETE CASCADE,
    position   int NOT NULL,
    message_id bigint NOT NULL,                     -- as it was asked for: there need not be one
    refusal    text,                                -- R10
    closed_at  timestamptz,                         -- when the window was, if that is the refusal (R3)
    as_administrator boolean NOT NULL DEFAULT true, -- in which capacity the request was judged
    recall_id  bigint REFERENCES recall,
    PRIMARY KEY (request_id, position),
    CHECK (refusal IS NULL OR recall_id IS NULL)
);
CREATE INDEX requested_message_open ON requested_message (message_id) WHERE refusal IS NULL AND recall_id IS NULL;
CREATE INDEX requested_message_recall ON requested_message (recall_id) WHERE recall_id IS NOT NULL;

ALTER TABLE recall ADD COLUMN request_id bigint REFERENCES recall_request;  -- null: asked for by itself
CREATE INDEX recall_by_request ON recall (request_id) WHERE request_id IS NOT NULL;
