"""After a restoration: backups of slightly different moments are brought together (docs/backup.md)."""
