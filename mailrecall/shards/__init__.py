"""The life of a shard: added, filled, drained, removed; and the moves of mailboxes from one to another (ADR 0027)."""
