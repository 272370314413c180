"""R27: the audit trail. `trail.append` writes a record, `trail.page` reads, `verification` checks the chains."""
