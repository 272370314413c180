"""Intake (SMTP submission, LMTP), expansion of groups, deposit into shards, relay to the world outside."""
