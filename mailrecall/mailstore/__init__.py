"""The mail store: what the shards hold, and the statements that change it."""
