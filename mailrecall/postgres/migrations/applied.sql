-- name: applied
-- yoyo's own table, which the first migration makes.
SELECT migration_id FROM _yoyo_migration
