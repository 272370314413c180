"""Messages as bytes: what lists show of them, their parts, and new ones; the standard email package does the work."""
