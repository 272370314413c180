"""Mail that comes in: SMTP submission and LMTP, in one process (`python -m services.delivery.intake`)."""
