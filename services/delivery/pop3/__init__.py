"""Inboxes over POP3, on Twisted (`python -m services.delivery.pop3`)."""
