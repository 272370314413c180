-- What lets two versions of the house work side by side, and a trace follow the work: see mailrecall.outbox.work and .tracing.
ALTER TABLE outbox
    ADD COLUMN version smallint NOT NULL DEFAULT 1,  -- of the shape of args; a worker that does not know it leaves the work alone
    ADD COLUMN trace   text;                         -- W3C traceparent of what made the work necessary; null: nobody traces
