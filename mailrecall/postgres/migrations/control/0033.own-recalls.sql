-- One's own recalls, newest first, page by page.
CREATE INDEX recalls_of_requester ON recall (requested_by, id);
