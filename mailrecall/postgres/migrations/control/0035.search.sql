-- R20: administrators search their organisation's mail.
CREATE INDEX message_by_organisation ON message (organisation_id, accepted_at DESC, id DESC) WHERE organisation_id IS NOT NULL;

-- Every two characters of a text that stand side by side, in lower case. What a text contains, its pairs do: so an index of them
-- finds parts of words, in Chinese too, where two characters are a word and trigrams would find none.
CREATE FUNCTION pairs_of(text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(DISTINCT substr(folded, i, 2)), '{}')
      FROM lower($1) AS folded, generate_series(1, length(folded) - 1) AS i
$$;
CREATE INDEX message_by_subject ON message USING gin (pairs_of(subject));

CREATE INDEX envelope_by_account ON envelope_recipient (account_id, message_id) WHERE account_id IS NOT NULL;
CREATE INDEX envelope_by_group ON envelope_recipient (group_id, message_id) WHERE group_id IS NOT NULL;
CREATE INDEX envelope_to_groups ON envelope_recipient (message_id) WHERE kind = 'group';
CREATE INDEX external_by_address ON external_recipient (address);

-- Where a batch begins and ends: whether somebody can be in it is seen without unpacking its arrays.
ALTER TABLE delivery_batch
    ADD COLUMN first int GENERATED ALWAYS AS (mailbox_ids[1]) STORED,
    ADD COLUMN last int GENERATED ALWAYS AS (mailbox_ids[cardinality(mailbox_ids)]) STORED;
