-- A message that is taken back (R28) is deleted, and whatever could refer to it is looked up: not by reading whole tables.
CREATE INDEX forward_by_forwarded ON forward (forward_message_id) WHERE forward_message_id IS NOT NULL;
CREATE INDEX recall_by_report ON recall (report_message_id) WHERE report_message_id IS NOT NULL;
CREATE INDEX recall_by_author_report ON recall (author_report_message_id) WHERE author_report_message_id IS NOT NULL;
