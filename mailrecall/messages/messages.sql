-- name: insert_message
INSERT INTO message (id, organisation_id, sender_account_id, envelope_sender, channel, accepted_at, size, header_message_id,
                     from_header, to_header, subject, preview, attachments, deliveries_left)
VALUES (nextval('message_id'), %(organisation_id)s, %(sender_account_id)s, %(envelope_sender)s, %(channel)s, %(accepted_at)s,
        %(size)s, %(header_message_id)s, %(from_header)s, %(to_header)s, %(subject)s, %(preview)s, %(attachments)s,
        %(deliveries_left)s)
RETURNING id

-- name: insert_content
INSERT INTO message_content (message_id, content) VALUES (%(message_id)s, %(content)s)

-- name: copy_envelope
COPY envelope_recipient (message_id, position, address, account_id, group_id, kind) FROM STDIN

