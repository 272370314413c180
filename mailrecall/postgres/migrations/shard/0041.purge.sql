-- Whether a body is still needed is asked for each that might be purged (R26).
CREATE INDEX message_by_body ON message (body_id);
