"""Messages as bytes: what lists show of them, their parts, and writing new ones. Python's email package does the work."""
