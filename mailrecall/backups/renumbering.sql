-- name: raise
-- Never backwards, should a clock have been. A folder that was first looked at after the backup gets a later one by itself.
UPDATE folder f SET uid_validity = greatest(f.uid_validity + 1, %(uid_validity)s)
  FROM (SELECT mailbox_id, folder FROM folder
         WHERE (mailbox_id, folder) > (%(after)s, %(after_folder)s)
         ORDER BY mailbox_id, folder LIMIT %(limit)s) AS page
 WHERE f.mailbox_id = page.mailbox_id AND f.folder = page.folder
RETURNING f.mailbox_id, f.folder
