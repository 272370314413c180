-- R26: accounts for which nothing is purged, and how the purge finds what is due.
CREATE TABLE legal_hold (
    account_id      int PRIMARY KEY REFERENCES account,
    organisation_id int NOT NULL REFERENCES organisation,
    reason          text NOT NULL,
    placed_by       int REFERENCES account,         -- null: an operator
    placed_at       timestamptz NOT NULL
);
CREATE INDEX legal_hold_of_organisation ON legal_hold (organisation_id);

CREATE INDEX recall_to_purge ON recall (settled_at) WHERE state = 'settled' AND purged_at IS NULL;
CREATE INDEX recall_purge_due ON recall (purge_due_at) WHERE purge_due_at IS NOT NULL;
