"""Mailboxes over IMAP4rev1, on pymap (`python -m services.delivery.imap`)."""
