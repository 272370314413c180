"""What can be wrong with the machine the embedded stack starts on."""


class EmbeddedError(Exception):
    """The stack cannot run here as asked; the message says what is wrong and what to do about it."""
