-- What kills its worker each time leaves no failure behind: see begin_again in mailrecall/outbox/outbox.sql.
ALTER TABLE outbox
    ADD COLUMN begun_at timestamptz;  -- when a repeated try began that has neither ended nor failed yet
