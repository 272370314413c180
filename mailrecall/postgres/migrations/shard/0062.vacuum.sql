-- When autovacuum comes. A fifth of a table, as the server has it, is millions of copies: whole recalls would lie dead in the
-- indexes, and pages that nobody marks as visible to all cost index-only scans a look at each row. How fast it may work is the
-- operator's choice (autovacuum_vacuum_cost_limit). Only tables that grow with the mail: a fifth of a small one is little.
-- Whoever reads and writes is not held up by these changes.

-- Withdrawn by the range, and updated by whoever reads: after 50,000 rows of 20 million. Frequent, and cheap for that: what is
-- visible to all is skipped, and so are the indexes while fewer than 2 % of the pages have dead rows.
-- Reading changes no indexed column. A tenth of each page is left for it, because pages are full when people come to read: the
-- new version then lies beside the old one, needs no entries in the indexes and takes the old one's place without a vacuum.
ALTER TABLE copy SET (
    fillfactor = 90,
    autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_scale_factor = 0.002,
    autovacuum_vacuum_insert_scale_factor = 0.02
);

-- Written once, and purged by the recall (R26). Never updated: its pages are filled.
ALTER TABLE outcome SET (
    autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_scale_factor = 0.002,
    autovacuum_vacuum_insert_scale_factor = 0.02
);

-- Hardly anything but added to: frozen in small portions, not in one that takes hours.
ALTER TABLE deposit SET (autovacuum_vacuum_insert_scale_factor = 0.02);
ALTER TABLE message SET (autovacuum_vacuum_insert_scale_factor = 0.02);
