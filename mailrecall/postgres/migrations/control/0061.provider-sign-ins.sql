-- Sign-ins that have begun at an OpenID provider and have not come back. Each comes back once and soon, to the browser it began in.
CREATE TABLE provider_sign_in (
    state      bytea PRIMARY KEY,     -- sha256 of what the provider hands back
    browser    bytea NOT NULL,        -- sha256 of the cookie of the browser that began it
    nonce      text NOT NULL,         -- what the ID token has to bear
    verifier   text NOT NULL,         -- what the code is exchanged with (RFC 7636)
    target     text,                  -- where to go on to; null: the inbox
    expires_at timestamptz NOT NULL
);
CREATE INDEX provider_sign_in_expiry ON provider_sign_in (expires_at);
