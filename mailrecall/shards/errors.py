"""What stands in the way of a change to the shards, in words that say what to do."""


class ShardError(Exception):
    """It cannot be done as things are; nothing was changed."""
