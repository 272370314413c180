-- People signed in to the pages. The session's secret is known to the browser only, as a token's is to its bearer.
CREATE TABLE web_session (
    digest     bytea PRIMARY KEY,           -- sha256
    account_id int NOT NULL REFERENCES account ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL,        -- written again only now and then
    expires_at timestamptz NOT NULL,        -- moves on while the session is used, up to its longest life
    notices    jsonb NOT NULL DEFAULT '[]'  -- what the next page tells its reader
);
CREATE INDEX web_sessions_of_account ON web_session (account_id);
CREATE INDEX web_session_expiry ON web_session (expires_at);

-- What somebody has chosen in the pages; null: as their browser says.
ALTER TABLE account ADD COLUMN pages_language text CHECK (pages_language IN ('en', 'zh'));
ALTER TABLE account ADD COLUMN time_zone text;
