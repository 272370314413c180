"""How fast a recall went, for those who may see it."""

from mailrecall.domain.pace import Pace
from mailrecall.domain.recalls import State
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import pacing
from mailrecall.recalls.views import RecallView


def pace(databases: Databases, view: RecallView) -> Pace | None:
    """Return how many mailboxes were done by when; None before the end, and where there is too little to be seen."""
    if view.state is not State.SETTLED:
        return None
    with databases.control() as control:
        return pacing.find(control, view.id)
