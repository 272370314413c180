-- Wrong passwords, counted for a while by whom they were for and where they came from. The keys are digests: who guesses at which
-- address is nothing to keep.
CREATE TABLE password_guess (
    key      bytea PRIMARY KEY,
    failures int NOT NULL,
    since    timestamptz NOT NULL
);
CREATE INDEX password_guess_since ON password_guess (since);
