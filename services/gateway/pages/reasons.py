"""R11: the reason for a recall, an undo, a hold or a rejection, as somebody typed it into a form."""

from flask_babel import gettext as _

from mailrecall.domain.recalls import LONGEST_REASON, ReasonError, clean_reason


def typed(given: str) -> str:
    """Return a reason as it is kept.

    Args:
        given: what the form brought; browsers send CR LF for each end of a line.

    Raises:
        ReasonError: it is none; says in the reader's language what to do.
    """
    try:
        return clean_reason(given.replace("\r\n", "\n").replace("\0", ""))
    except ReasonError:
        raise ReasonError(_("Say why, in 1 to %(most)s characters.", most=LONGEST_REASON)) from None
