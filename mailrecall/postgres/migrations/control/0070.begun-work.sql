-- What kills its worker each time leaves no failure behind: see begin_again in mailrecall/outbox/outbox.sql.
ALTER TABLE outbox
    ADD COLUMN begun boolean NOT NULL DEFAULT false;  -- a repeated try has begun, and has neither ended nor failed yet
