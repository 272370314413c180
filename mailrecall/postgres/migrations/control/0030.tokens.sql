-- Personal tokens beside those of sign-ins. A sign-in's token has no name and may do everything its account may.
ALTER TABLE token
    ADD COLUMN id           bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    ADD COLUMN name         text,
    ADD COLUMN scopes       text[],                 -- null: everything
    ADD COLUMN created_at   timestamptz,            -- null: issued before this migration
    ADD COLUMN last_used_at timestamptz,            -- of personal ones, to within some minutes
    ADD CHECK ((name IS NULL) = (scopes IS NULL));
CREATE INDEX tokens_of_account ON token (account_id);
